"""Real characters for the glyph renderer: the pen strokes of KanjiVG, an optional extra.

    pip install -e ".[kanji]"
    images = glyphs.render(kanji.strokes(1000), labels, key, image_size=48)

KanjiVG (https://kanjivg.tagaini.net) is copyright Ulrich Apel, under the Creative Commons Attribution-Share Alike 3.0
licence; the installed package is read and nothing of it is shipped here. It has one SVG file for each character, with
one ``path`` for each stroke in the order of writing, in a square of 109 units.
"""

import importlib.metadata
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from maxrl_jax.vision.glyphs.strokes import Strokes, pack
from maxrl_jax.vision.glyphs.svg_path import polyline

_FILE = re.compile(r"(?P<code>[0-9a-f]{5})\.svg")  # variants have a suffix, and are left out
_IDEOGRAPHS = range(0x4E00, 0xA000)  # CJK unified ideographs: neither kana nor letters
_NUM_POINTS = 10
_EXTENT = 0.76
_SIDE = 109.0


def strokes(num_classes: int) -> Strokes:
    """The ``num_classes`` characters with the fewest strokes, ties in the order of Unicode.

    Characters of few strokes are the cheapest to draw and stay legible at 32 pixels. Some pairs differ only in the
    length of one stroke.

    Raises:
        ValueError: the package is missing, fewer characters than asked for, or a file that cannot be read (named).
    """
    paths = [_folder() / f"{ord(character):05x}.svg" for character in characters(num_classes)]
    return pack([_read_svg(path) for path in paths], _NUM_POINTS, _EXTENT)


def characters(num_classes: int) -> str:
    """The characters of classes 0 to ``num_classes - 1`` of `strokes`, as one string."""
    candidates = []
    for path in _folder().iterdir():
        match = _FILE.fullmatch(path.name)
        if match and int(match["code"], 16) in _IDEOGRAPHS:
            candidates.append((path.read_bytes().count(b"<path"), int(match["code"], 16)))
    if num_classes > len(candidates):
        raise ValueError(f"num_classes: got {num_classes}, allowed: at most the {len(candidates)} characters there are")
    return "".join(chr(code) for _, code in sorted(candidates)[:num_classes])


def _read_svg(path: Path) -> list[np.ndarray]:
    """The strokes of one file of KanjiVG, each [points, 2] in the unit square."""
    try:
        paths = ElementTree.parse(path).iterfind(".//{*}path")
        polylines = [polyline(element.get("d", "")) / _SIDE for element in paths]
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    if not polylines:
        raise ValueError(f"{path}: got no path, allowed: an SVG file with one path for each stroke")
    return polylines


def _folder() -> Path:
    """The installed folder of SVG files."""
    try:
        files = importlib.metadata.distribution("kanjivg").files or []
    except importlib.metadata.PackageNotFoundError:
        raise ValueError('kanji: the package kanjivg is missing; pip install -e ".[kanji]"') from None
    return next(Path(str(file.locate())).parent for file in files if _FILE.fullmatch(file.name))
