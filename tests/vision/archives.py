"""Small archives with the names and the nesting of the official ones, full of real JPEG files."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from maxrl_jax.vision.imagenet2012 import archives as imagenet_archives

NUM_CLASSES, PER_CLASS, NUM_VALIDATION = 5, 6, 10
SYNSETS, VALIDATION_CLASSES = imagenet_archives.labels()


def jpeg(seed: int, height: int = 90, width: int = 120, grey: bool = False) -> bytes:
    """A smooth random picture, as a JPEG file."""
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 1 if grey else 3), dtype=np.uint8)
    return cv2.imencode(".jpg", cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))[1].tobytes()


def cmyk() -> bytes:
    """A CMYK JPEG of one colour, which is RGB (49, 225, 225)."""
    pixels = np.zeros((80, 100, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 200, 30
    buffer = io.BytesIO()
    Image.fromarray(pixels, "CMYK").save(buffer, "JPEG")
    return buffer.getvalue()


def png() -> bytes:
    """A PNG file of one colour, RGB (10, 20, 200)."""
    return cv2.imencode(".png", np.full((50, 70, 3), (200, 20, 10), np.uint8))[1].tobytes()


def make(folder: Path, special: Mapping[str, bytes] | None = None) -> Path:
    """Both archives; ``special`` replaces training files by name, such as ``n01440764_1.JPEG``."""
    folder.mkdir(parents=True, exist_ok=True)
    special = special or {}
    names = imagenet_archives.ARCHIVES
    with tarfile.open(folder / names["train"], "w") as train:
        for c, synset in enumerate(SYNSETS[:NUM_CLASSES]):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as inner:
                for i in range(PER_CLASS):
                    name = f"{synset}_{i}.JPEG"
                    picture = jpeg(100 * c + i, 60 + 17 * i, 130 - 11 * c, grey=i == 3)
                    _add(inner, name, special.get(name, picture))
            _add(train, f"{synset}.tar", buffer.getvalue())
    with tarfile.open(folder / names["validation"], "w") as validation:
        # Not in the order of their numbers: an image's class goes by its name.
        for i in reversed(range(NUM_VALIDATION)):
            _add(validation, f"ILSVRC2012_val_{i + 1:08d}.JPEG", jpeg(1000 + i))
    return folder


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))
