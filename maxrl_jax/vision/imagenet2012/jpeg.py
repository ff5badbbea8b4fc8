"""Pixels of image files: of JPEG files by simplejpeg where it is installed, else by OpenCV.

Orientation tags are ignored, as in other ImageNet readers.
"""

import functools
import importlib
from types import ModuleType
from typing import Any

import cv2
import numpy as np

_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"


def decode(data: bytes, reduced: bool = False) -> np.ndarray:
    """Pixels of an image file, uint8 [height, width, 3], RGB; ``reduced`` at an eighth of its size, which costs less.

    Raises:
        ValueError: the data cannot be decoded, or are a JPEG file that was cut.
    """
    # The decoders fill what is missing with grey. Within a scan the byte 255 stands before 0 or a restart marker only.
    if data.startswith(b"\xff\xd8") and data.rfind(_END_OF_IMAGE) <= data.rfind(_START_OF_SCAN):
        raise ValueError("a JPEG file that was cut")
    fast = _simplejpeg()
    if reduced or fast is None:
        return _by_opencv(data, cv2.IMREAD_REDUCED_COLOR_8 if reduced else cv2.IMREAD_COLOR)
    try:
        return fast.decode_jpeg(data, colorspace="RGB")
    except ValueError:  # a PNG or CMYK image, or a defect: OpenCV decodes more of them, or raises
        return _by_opencv(data, cv2.IMREAD_COLOR)


def _by_opencv(data: bytes, flags: int) -> np.ndarray:
    try:
        image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    except cv2.error:
        raise ValueError("an image that cannot be decoded") from None


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 [h, w, 3] to [height, width, 3]: area average where it shrinks, bilinear where it grows."""
    shrinks = image.shape[0] * image.shape[1] > height * width
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


@functools.cache
def _simplejpeg() -> ModuleType | None:
    """The module, if installed. Runs once in each process, so it also turns off OpenCV's own threads."""
    cv2.setNumThreads(0)  # every image already has a thread or process
    try:
        return importlib.import_module("simplejpeg")
    except ImportError:
        return None
