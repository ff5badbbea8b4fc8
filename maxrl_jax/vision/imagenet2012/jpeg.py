"""Pixels of JPEG files, by simplejpeg where it is installed, else by OpenCV.

Orientation tags are ignored, as in other ImageNet readers.
"""

import functools
import importlib
from types import ModuleType
from typing import Any

import cv2
import numpy as np

_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"


def decode(data: bytes) -> np.ndarray:
    """Pixels of a JPEG file, uint8 [height, width, 3], RGB.

    Raises:
        ValueError: the data are not a whole JPEG file that can be decoded.
    """
    check(data)
    fast = _simplejpeg()
    if fast is None:
        return by_opencv(data)
    try:
        return fast.decode_jpeg(data, colorspace="RGB")
    except ValueError:  # CMYK, or a defect: OpenCV decodes more of them, or raises
        return by_opencv(data)


def check(data: bytes) -> None:
    """Raises ValueError for data that are not a JPEG file, or one that was cut: decoders fill its rest with grey."""
    if not data.startswith(b"\xff\xd8"):
        raise ValueError("not a JPEG file")
    # Within a scan the byte 255 stands before 0 or a restart marker only.
    if data.rfind(_END_OF_IMAGE) <= data.rfind(_START_OF_SCAN):
        raise ValueError("a JPEG file that was cut")


def by_opencv(data: bytes, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """Pixels of an image file of any kind, as `decode`; the flags are OpenCV's.

    Raises:
        ValueError: the data cannot be decoded.
    """
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
