"""The stand-in for ImageNet: a thousand classes of procedural pen strokes, without a download.

    strokes = glyphs.make_strokes(keys.stream(seed, "strokes"), num_classes=1000)
    images = glyphs.render(strokes, labels, keys.stream(seed, "images", step), image_size=32)
    held_out = glyphs.render(strokes, labels, keys.stream(seed, "validation", batch), image_size=32)

A class is 3 to 5 straight or bent strokes between the points of a grid, many of them joined. A candidate joins the
classes only if its picture differs enough from each of theirs (the blurred pictures have a cosine of at most
`MAX_COSINE`, also when one is moved by a pixel). A random classifier is right once in ``num_classes``.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from maxrl_jax.vision.glyphs.strokes import Strokes, centred, quadratic

MIN_STROKES, MAX_STROKES, NUM_POINTS = 3, 5, 6
GRID = 4
EXTENT = 0.66
"""Longer side of a glyph, in the unit square; the rest is room for the jitter."""

MAX_COSINE = 0.8
_BLOCK = 256  # candidates drawn at once: a constant, so that fewer classes are the first of more
_PICTURE = 14  # side of the pictures compared


def make_strokes(key: Array, num_classes: int) -> Strokes:
    """Draws ``num_classes`` glyphs that differ clearly from each other.

    The classes are chosen on the host from integer random bits, so they are the same on every device, and the first
    n of more classes are those of n classes.

    Args:
        key: consumed; the classes are a function of it.
        num_classes: C. 1,000 take about a second.

    Raises:
        ValueError: more classes than differ clearly.
    """
    kept_points, kept_present = [], []
    pictures = np.zeros((0, _PICTURE**2))
    for block in itertools.count():
        bits = jax.random.bits(jax.random.fold_in(key, block), (_BLOCK, MAX_STROKES + 1, 4), jnp.uint32)
        points, present = _candidates(np.asarray(bits))
        new = _blurred(points, present)
        chosen = _distinct(pictures, new, num_classes - len(pictures))
        kept_points.append(points[chosen])
        kept_present.append(present[chosen])
        pictures = np.concatenate([pictures, new[chosen, 0]])
        if len(pictures) >= num_classes:
            points, present = np.concatenate(kept_points), np.concatenate(kept_present)
            return Strokes(jnp.asarray(points, jnp.float32), jnp.asarray(present))
        if not chosen:
            break
    raise ValueError(f"num_classes: got {num_classes}, allowed: at most {len(pictures)} differ clearly")


def _candidates(bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Glyphs from random words, uint32 [n, MAX_STROKES + 1, 4]: points [n, S, P, 2] and present [n, S]."""
    head, bits = bits[:, 0, 0], bits[:, 1:]
    count = MIN_STROKES + head % (MAX_STROKES - MIN_STROKES + 1)
    present = np.arange(MAX_STROKES) < count[:, None]
    start = bits[..., 0] % GRID**2
    # Another grid point: a displacement that is never 0.
    end = (start + 1 + bits[..., 1] % (GRID**2 - 1)) % GRID**2
    for s in range(1, MAX_STROKES):  # half the strokes go on where the one before ended
        joined = (bits[:, s, 2] % 2 == 0) & (end[:, s] != end[:, s - 1])
        start[:, s] = np.where(joined, end[:, s - 1], start[:, s])
    first, last = _grid_point(start), _grid_point(end)
    along = last - first
    normal = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    bend = np.array([0.0, 0.0, 0.5, -0.5])[bits[..., 3] % 4]
    points = quadratic(first, (first + last) / 2 + bend[..., None] * normal, last, NUM_POINTS)
    return centred(points, present, EXTENT), present


def _grid_point(index: np.ndarray) -> np.ndarray:
    return np.stack([index % GRID, index // GRID], axis=-1) / (GRID - 1.0)


def _blurred(points: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Pictures to compare, of unit length, as they are and moved by a pixel each way: [n, 5, pixels]."""
    size = _PICTURE + 2
    centres = (np.arange(size) + 0.5) / size
    x, y = centres[None, :], centres[:, None]
    nearest = np.full((len(points), size, size), np.inf)
    for s in range(points.shape[1]):
        for p in range(points.shape[2] - 1):
            (ax, ay), (bx, by) = (points[:, s, q].T[..., None, None] for q in (p, p + 1))
            dx, dy = bx - ax, by - ay
            t = np.clip(((x - ax) * dx + (y - ay) * dy) / np.maximum(dx**2 + dy**2, 1e-12), 0, 1)
            squared = (x - ax - t * dx) ** 2 + (y - ay - t * dy) ** 2
            nearest = np.where(present[:, s, None, None], np.minimum(nearest, squared), nearest)
    ink = np.exp(-nearest / (2 * 0.06**2))
    moves = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]
    moved = np.stack([ink[:, i : i + _PICTURE, j : j + _PICTURE].reshape(len(ink), -1) for i, j in moves], axis=1)
    moved -= moved.mean(axis=-1, keepdims=True)
    return moved / np.linalg.norm(moved, axis=-1, keepdims=True)


def _distinct(pictures: np.ndarray, new: np.ndarray, wanted: int) -> list[int]:
    """Indices of the new glyphs, in order, that differ from the old ones and from those chosen before them."""
    moved = new.reshape(-1, new.shape[-1])
    with_old = (moved @ pictures.T).reshape(len(new), -1).max(axis=1, initial=-1.0)
    with_new = (moved @ new[:, 0].T).reshape(len(new), -1, len(new)).max(axis=1)
    chosen: list[int] = []
    for i in np.flatnonzero(with_old <= MAX_COSINE):
        if len(chosen) < wanted and (not chosen or with_new[i, chosen].max() <= MAX_COSINE):
            chosen.append(int(i))
    return chosen
