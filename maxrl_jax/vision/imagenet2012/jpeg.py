"""JPEG files: their components, completeness and pixels, by OpenCV or, where it is installed, simplejpeg.

OpenCV and libjpeg silently fill the missing part of a truncated image with grey, so the markers are checked first.
Orientation tags are ignored, as in other ImageNet readers.
"""

import functools
import importlib
from types import ModuleType

import cv2
import numpy as np

_PNG = b"\x89PNG\r\n\x1a\n"
_END_OF_IMAGE = b"\xff\xd9"
_START_OF_SCAN = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the frame headers; those three are tables
_REENCODED_QUALITY = 100  # as tensorflow-datasets does
_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


def num_components(data: bytes) -> int:
    """Colour components of a whole JPEG file: 1 grey, 3 colour, 4 CMYK.

    Raises:
        ValueError: the data are not a JPEG file, or one that was cut.
    """
    if data[:2] != b"\xff\xd8":
        raise ValueError("not a JPEG file")
    components, position = 0, 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise ValueError("a JPEG file with a broken header")
        marker = data[position + 1]
        if marker == 0xFF:  # padding
            position += 1
            continue
        if marker in _FRAMES and position + 9 < len(data):
            components = data[position + 9]
        if marker == _START_OF_SCAN:
            # In the scan itself the byte 255 is always followed by 0 or by a marker.
            if components and data.rfind(_END_OF_IMAGE) > position:
                return components
            break
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise ValueError("a JPEG file that was cut")


def decode(data: bytes) -> np.ndarray:
    """Pixels of a JPEG file, uint8 [height, width, 3], RGB.

    Raises:
        ValueError: the data are not a whole JPEG file that can be decoded.
    """
    num_components(data)
    fast = _simplejpeg()
    if fast is not None:
        try:
            return fast.decode_jpeg(data, colorspace="RGB")
        except ValueError:  # CMYK, and defects that only OpenCV tolerates
            pass
    return cv2.cvtColor(_decode_opencv(data, _FLAGS), cv2.COLOR_BGR2RGB)


def to_rgb_jpeg(data: bytes) -> bytes:
    """The same file if it is a grey or RGB JPEG; a PNG or CMYK image encoded anew as RGB JPEG.

    Every image is decoded (at an eighth of its size), so that a broken one is reported now and not in training.

    Raises:
        ValueError: the data are neither, or broken.
    """
    if data[:8] != _PNG and num_components(data) != 4:
        _decode_opencv(data, cv2.IMREAD_REDUCED_COLOR_8 | cv2.IMREAD_IGNORE_ORIENTATION)
        return data
    quality = [cv2.IMWRITE_JPEG_QUALITY, _REENCODED_QUALITY]
    return cv2.imencode(".jpg", _decode_opencv(data, _FLAGS), quality)[1].tobytes()


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 [h, w, 3] to [height, width, 3]: area average where it shrinks, bilinear where it grows."""
    shrinks = image.shape[0] * image.shape[1] > height * width
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _decode_opencv(data: bytes, flags: int) -> np.ndarray:
    """uint8 [height, width, 3], in OpenCV's order, BGR."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise ValueError("an image that cannot be decoded")
    return image


@functools.cache
def _simplejpeg() -> ModuleType | None:
    """The module, if installed. Runs once in each process, so it also turns off OpenCV's own threads."""
    cv2.setNumThreads(0)  # every image already has a thread or process
    try:
        return importlib.import_module("simplejpeg")
    except ImportError:
        return None
