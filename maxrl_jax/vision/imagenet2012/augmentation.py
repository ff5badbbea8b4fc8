"""Random resized crop and flip for training, resize and centre crop for validation, all on one uint8 image.

The randomness of an image is a function of (seed, position in the run): Philox, a counter-based generator, is asked
for words at that position, so no state is carried from image to image.
"""

import math

import numpy as np

from maxrl_jax.vision.imagenet2012 import jpeg

SCALE = (0.08, 1.0)
"""Area of the crop, as a part of the image's."""

RATIO = (3 / 4, 4 / 3)
"""Width over height of the crop."""

EVAL_RATIO = 256 / 224
"""Shorter side before the centre crop, in units of the crop: 256 for 224 pixels."""

_TRIES = 10
_WORDS = 4 * _TRIES + 4  # Philox makes 4 words at a time


def uniforms(seed: int, position: int) -> np.ndarray:
    """Numbers in [0, 1) for the image at one position of a run, from raw words, which no numpy version changes."""
    words = np.random.Philox(key=seed, counter=[0, position, 0, 0]).random_raw(_WORDS)
    return (words >> np.uint64(11)) * 2.0**-53


def training_view(image: np.ndarray, size: int, noise: np.ndarray) -> np.ndarray:
    """A random part of the image, resized to size x size, mirrored half of the time.

    Args:
        image: uint8 [height, width, 3].
        size: pixels.
        noise: from `uniforms`.
    """
    top, left, height, width = random_box(image.shape[0], image.shape[1], noise)
    view = jpeg.resize(image[top : top + height, left : left + width], size, size)
    return view[:, ::-1] if noise[-1] < 0.5 else view


def random_box(height: int, width: int, noise: np.ndarray) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a random part: its area uniform, its ratio log-uniform, tried ten times.

    Where none fits, the largest part in the middle whose ratio is allowed.
    """
    for a, b, c, d in noise[: 4 * _TRIES].reshape(_TRIES, 4):
        area = height * width * (SCALE[0] + a * (SCALE[1] - SCALE[0]))
        ratio = RATIO[0] * (RATIO[1] / RATIO[0]) ** b
        box_width, box_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < box_width <= width and 0 < box_height <= height:
            return int(c * (height - box_height + 1)), int(d * (width - box_width + 1)), box_height, box_width
    box_width = max(1, min(width, round(height * RATIO[1])))
    box_height = max(1, min(height, round(width / RATIO[0])))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def validation_view(image: np.ndarray, size: int, eval_crop: bool) -> np.ndarray:
    """The whole image resized to size x size; with ``eval_crop`` the middle of the image with its own ratio.

    Args:
        image: uint8 [height, width, 3].
        size: pixels.
        eval_crop: first resize the shorter side to 256/224 of ``size``, then cut size x size from the middle.
    """
    if not eval_crop:
        return jpeg.resize(image, size, size)
    height, width = image.shape[:2]
    scale = round(size * EVAL_RATIO) / min(height, width)
    image = jpeg.resize(image, max(size, round(height * scale)), max(size, round(width * scale)))
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return image[top : top + size, left : left + size]
