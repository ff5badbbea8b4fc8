"""The ten digits as pen strokes, for smoke tests: the smallest problem the image driver can be given.

images = glyphs.render(digits.strokes(), labels, key, image_size=16)
"""

import numpy as np

from maxrl_jax.vision.glyphs.strokes import Strokes, pack

NUM_CLASSES = 10
_NUM_POINTS = 20
_EXTENT = 0.7


def strokes() -> Strokes:
    """Ten glyphs of at most two strokes; class d is the digit d."""
    return pack([_DIGITS[d] for d in range(NUM_CLASSES)], _NUM_POINTS, _EXTENT)


def _line(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points)


def _arc(centre: tuple[float, float], radii: tuple[float, float], start: float, end: float) -> np.ndarray:
    """An arc of an ellipse, from one angle to another; degrees, clockwise on the page from the right."""
    angles = np.radians(np.linspace(start, end, 40))
    return np.stack([centre[0] + radii[0] * np.cos(angles), centre[1] + radii[1] * np.sin(angles)], axis=-1)


_DIGITS = {
    0: [_arc((0.5, 0.5), (0.28, 0.4), -90, 270)],
    1: [_line((0.35, 0.25), (0.55, 0.1), (0.55, 0.9))],
    2: [np.concatenate([_arc((0.5, 0.32), (0.25, 0.22), -170, 35), _line((0.25, 0.9), (0.77, 0.9))])],
    3: [_arc((0.47, 0.3), (0.24, 0.2), -150, 90), _arc((0.47, 0.7), (0.27, 0.2), -90, 150)],
    4: [_line((0.6, 0.1), (0.2, 0.62), (0.8, 0.62)), _line((0.62, 0.4), (0.62, 0.92))],
    5: [
        _line((0.72, 0.1), (0.3, 0.1), (0.27, 0.47)),
        np.concatenate([_line((0.27, 0.47)), _arc((0.48, 0.65), (0.27, 0.24), -100, 140)]),
    ],
    6: [np.concatenate([_line((0.62, 0.1), (0.38, 0.35)), _arc((0.5, 0.66), (0.24, 0.24), 180, -180)])],
    7: [_line((0.22, 0.1), (0.78, 0.1), (0.42, 0.9))],
    8: [_arc((0.5, 0.29), (0.2, 0.19), -90, 270), _arc((0.5, 0.69), (0.25, 0.21), -90, 270)],
    9: [np.concatenate([_arc((0.5, 0.34), (0.24, 0.24), 0, 360), _line((0.74, 0.34), (0.62, 0.9))])],
}
