"""JPEG files: whole or cut, grey, CMYK, and PNG files under their name."""

import importlib.util
import types

import cv2
import numpy as np
import pytest

from maxrl_jax.vision.imagenet2012 import jpeg
from tests.vision import archives


def pixels(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


@pytest.mark.parametrize("length", [0, 3, 1000, -2])
@pytest.mark.parametrize("read", [jpeg.decode, jpeg.to_rgb_jpeg])
def test_a_file_that_was_cut(read, length):
    with pytest.raises(ValueError, match="JPEG"):
        read(archives.jpeg(0)[:length])


def test_a_file_whose_middle_is_not_an_image():
    data = archives.jpeg(0)
    with pytest.raises(ValueError, match="header"):
        jpeg.decode(data[:2] + bytes(50) + data[2:])
    with pytest.raises(ValueError, match="cannot be decoded"):
        jpeg.to_rgb_jpeg(archives.png()[:60])


def test_pixels_are_rgb_and_orientation_tags_are_ignored():
    data = archives.jpeg(0, 40, 70)
    np.testing.assert_array_equal(jpeg.decode(data), pixels(data))
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6: turn it
    turned = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    assert pixels(turned).shape == (70, 40, 3)
    np.testing.assert_array_equal(jpeg.decode(turned), jpeg.decode(data))
    assert jpeg.decode(archives.jpeg(0, 40, 70, grey=True)).shape == (40, 70, 3)


def test_only_cmyk_and_png_are_reencoded():
    for data, components in ((archives.jpeg(0), 3), (archives.jpeg(0, grey=True), 1)):
        assert jpeg.to_rgb_jpeg(data) == data and jpeg.num_components(data) == components
    for data, shape, colour in (
        (archives.cmyk(), (80, 100, 3), (49, 225, 225)),
        (archives.png(), (50, 70, 3), (10, 20, 200)),
    ):
        again = jpeg.to_rgb_jpeg(data)
        assert jpeg.num_components(again) == 3
        assert jpeg.decode(again).shape == shape
        assert np.abs(jpeg.decode(again).astype(int) - colour).max() <= 3


def test_simplejpeg_first_then_opencv(monkeypatch):
    """The fast decoder is asked first; what it refuses, such as CMYK, OpenCV decodes."""
    asked = []

    def decode_jpeg(data, colorspace):
        asked.append(colorspace)
        if jpeg.num_components(data) == 4:
            raise ValueError("unsupported")
        return np.full((1, 1, 3), 7, np.uint8)

    monkeypatch.setattr(jpeg, "_simplejpeg", lambda: types.SimpleNamespace(decode_jpeg=decode_jpeg))
    assert jpeg.decode(archives.jpeg(0)).tolist() == [[[7, 7, 7]]]
    assert jpeg.decode(archives.cmyk()).shape == (80, 100, 3)
    assert asked == ["RGB", "RGB"]


@pytest.mark.skipif(importlib.util.find_spec("simplejpeg") is None, reason="simplejpeg is not installed")
def test_simplejpeg_gives_the_same_pixels():
    for data in (archives.jpeg(1), archives.jpeg(1, grey=True)):
        assert np.abs(jpeg.decode(data).astype(int) - pixels(data)).max() <= 2
