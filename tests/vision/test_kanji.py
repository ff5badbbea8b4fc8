"""Real characters, read from a few SVG files written in the form of KanjiVG's."""

import importlib.metadata

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax.vision import glyphs
from maxrl_jax.vision.glyphs import kanji
from maxrl_jax.vision.glyphs.svg_path import polyline

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.0//EN" "http://www.w3.org/TR/2001/REC-SVG-20010904/DTD/svg10.dtd" [
<!ATTLIST path xmlns:kvg CDATA #FIXED "http://kanjivg.tagaini.net" kvg:type CDATA #IMPLIED >
]>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 109 109" xmlns:kvg="https://kanjivg.tagaini.net/"><g>
"""


def write(folder, code, *paths):
    lines = "".join(f'<g><path id="kvg:{code}-s{i}" kvg:type="x" d="{path}"/></g>' for i, path in enumerate(paths))
    (folder / f"{code}.svg").write_text(HEAD + lines + "</g></svg>")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kanji, "_folder", lambda: tmp_path)
    write(tmp_path, "04e00", "M10,50h89")
    write(tmp_path, "05341", "M10,54.5h89", "M54.5,10v89")
    write(tmp_path, "04e09", "M20,20h60", "M25,50h50", "M10,90c20,-3 60-3,89.5,0")
    write(tmp_path, "04e8c", "M20,20h60", "M10,90h89")
    write(tmp_path, "04e00-Kaisho", "M10,50h89")  # a variant
    write(tmp_path, "03042", "M10,50h89")  # hiragana
    return tmp_path


def test_characters_with_few_strokes_come_first(folder):
    assert kanji.characters(4) == "一二十三"
    classes = kanji.strokes(4)
    np.testing.assert_array_equal(classes.present.sum(1), [1, 2, 2, 3])
    points = np.asarray(classes.points)
    # 十: a square cross in the middle, its extent 0.76
    np.testing.assert_allclose(points[2, 0, [0, -1]], [[0.12, 0.5], [0.88, 0.5]], atol=1e-6)
    np.testing.assert_allclose(points[2, 1, [0, -1]], [[0.5, 0.12], [0.5, 0.88]], atol=1e-6)
    images = jax.jit(glyphs.render, static_argnums=3)(classes, jnp.arange(4), jax.random.key(0), 16, 0.0)
    cross = np.asarray(images[2, :, :, 0])
    np.testing.assert_allclose(cross, cross.T, atol=1e-5)
    assert cross[8, 8] > 0.5 and cross[4, 4] == 0


def test_paths_of_every_command():
    np.testing.assert_allclose(polyline("M1,2L3,4 5,6"), [[1, 2], [3, 4], [5, 6]])
    np.testing.assert_allclose(polyline("m1 2 2-1.5.5.5"), [[1, 2], [3, 0.5], [3.5, 1]])  # then come lines
    np.testing.assert_allclose(polyline("M1,2h3v-1H0V9z"), [[1, 2], [4, 2], [4, 1], [0, 1], [0, 9], [1, 2]])
    cubic = polyline("M0,0C0,4 4,4 4,0")
    np.testing.assert_allclose(cubic[[0, 4, 8]], [[0, 0], [2, 3], [4, 0]])
    np.testing.assert_allclose(polyline("M1,1c0,4 4,4 4,0"), cubic + 1)
    np.testing.assert_allclose(polyline("M0,0C0,4 4,4 4,0S8-4 8,0")[8:], cubic * [1, -1] + [4, 0])  # mirrored
    np.testing.assert_allclose(polyline("M0,0Q2,4,4,0")[[4, 8]], [[2, 2], [4, 0]])
    np.testing.assert_allclose(polyline("M0,0q2,4,4,0s1,1,2,0")[-1], [6, 0])


@pytest.mark.parametrize("path", ["", "M1", "M1,2A3,3 0 0 0 4,4", "1,2", "M0,0?3", "M0,0h3M5,5h3"])
def test_a_path_that_cannot_be_drawn(path):
    with pytest.raises(ValueError, match="allowed"):
        polyline(path)


def test_errors_name_the_file(folder):
    with pytest.raises(ValueError, match="num_classes: got 5, allowed: at most the 4"):
        kanji.strokes(5)
    for text, said in (
        ('<svg><path d="M1,2A3,3 0 0 0 4,4"/></svg>', "got 'A' in the path"),
        ("<svg><path d='M0,0h9'>", ""),
        ("<svg/>", "got no path"),
    ):
        (folder / "04e00.svg").write_text(text)
        with pytest.raises(ValueError, match=rf"04e00\.svg: {said}"):
            kanji.strokes(1)


def test_a_missing_package_is_named(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(ValueError, match="the package kanjivg is missing"):
        kanji.strokes(1)
