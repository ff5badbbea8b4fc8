"""A set of glyphs as strokes, the input of `rendering`, and helpers that make strokes from curves.

Coordinates lie in the unit square, x to the right and y down, as pixels are numbered.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32


class Strokes(NamedTuple):
    """C glyphs of at most S strokes, each a polyline of P points.

    Attributes:
        points: (x, y) in the unit square.
        present: False where a glyph has fewer than S strokes; such strokes are not drawn.
    """

    points: Float32[Array, "C S P 2"]
    present: Bool[Array, "C S"]

    @property
    def num_classes(self) -> int:
        """C."""
        return self.points.shape[0]


def pack(glyphs: Sequence[Sequence[np.ndarray]], num_points: int, extent: float) -> Strokes:
    """Strokes from polylines of any lengths, each glyph moved to the middle (`centred`).

    Args:
        glyphs: for each class its strokes, at least one, each a float array [points, 2] with at least one point.
        num_points: P >= 2, points of each stroke after `resample`.
        extent: the longer side of each glyph, in (0, 1].
    """
    num_strokes = max(len(glyph) for glyph in glyphs)
    points = np.full((len(glyphs), num_strokes, num_points, 2), 0.5)
    present = np.zeros((len(glyphs), num_strokes), bool)
    for c, glyph in enumerate(glyphs):
        for s, stroke in enumerate(glyph):
            points[c, s] = resample(stroke, num_points)
            present[c, s] = True
    return Strokes(jnp.asarray(centred(points, present, extent), jnp.float32), jnp.asarray(present))


def resample(stroke: np.ndarray, num_points: int) -> np.ndarray:
    """The points at equal distances along a polyline: [points, 2] -> [num_points, 2], its ends kept."""
    stroke = np.asarray(stroke, np.float64)
    lengths = np.hypot(*np.diff(stroke, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    wanted = np.linspace(0.0, along[-1], num_points)
    return np.stack([np.interp(wanted, along, stroke[:, axis]) for axis in (0, 1)], axis=-1)


def quadratic(start: np.ndarray, control: np.ndarray, end: np.ndarray, num_points: int) -> np.ndarray:
    """Points of quadratic Bezier curves, (1-t)^2 start + 2t(1-t) control + t^2 end: [..., 2] -> [..., points, 2]."""
    t = np.linspace(0.0, 1.0, num_points)[:, None]
    return (1 - t) ** 2 * start[..., None, :] + 2 * t * (1 - t) * control[..., None, :] + t**2 * end[..., None, :]


def centred(points: np.ndarray, present: np.ndarray, extent: float) -> np.ndarray:
    """Moves each glyph to the middle of the unit square, its longer side scaled to ``extent``.

    Args:
        points: [C, S, P, 2].
        present: [C, S]; other strokes do not count.
        extent: in (0, 1].
    """
    mask = present[:, :, None, None]
    low = np.where(mask, points, np.inf).min(axis=(1, 2), keepdims=True)
    high = np.where(mask, points, -np.inf).max(axis=(1, 2), keepdims=True)
    scale = extent / np.maximum((high - low).max(axis=-1, keepdims=True), 1e-6)
    return np.where(mask, 0.5 + (points - (low + high) / 2) * scale, 0.5)
