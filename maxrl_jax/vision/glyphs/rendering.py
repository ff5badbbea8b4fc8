"""Draws glyphs on the device: each pixel from its distance to the strokes, each image with its own jitter.

A pixel's value is the fraction of it that the nearest stroke covers, computed from the distance d of its centre to the
polyline: clip((half width - d) / pixel + 1/2, 0, 1), so edges are anti-aliased over one pixel. The jitter moves the few
tens of points of the strokes, not the pixels.

Cost: about 12 floating-point operations for each pixel and segment. A batch of 128 procedural glyphs (25 segments) at
16 x 16 takes 10 MFLOP; memory is a few arrays of the size of the batch of images, whatever the number of strokes.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float32, Int32

from maxrl_jax.vision.glyphs.strokes import Strokes

HALF_WIDTH = 0.036
"""Half the width of a stroke without jitter, in the unit square."""

# Largest change at jitter 1; all are uniform around none. Angles in radians, shifts in the unit square.
ROTATION, LOG_SCALE, LOG_ASPECT, SHEAR, SHIFT = 0.2, 0.14, 0.1, 0.15, 0.07
STROKE_SHIFT, STROKE_ROTATION, STROKE_LOG_SCALE, LOG_WIDTH, STROKE_LOG_WIDTH = 0.03, 0.15, 0.12, 0.25, 0.15


def render(
    strokes: Strokes, labels: Int32[Array, " B"], key: Array, image_size: int, jitter: float | Array = 1.0
) -> Float32[Array, "B H W 1"]:
    """Draws one image for each label, moved by random jitter.

    Image i is a function of its label, ``fold_in(key, i)``, image_size and jitter alone: not of B, the device or the
    sharding.

    Args:
        strokes: the glyphs.
        labels: classes in [0, C).
        key: consumed. Held-out images come from keys that training never uses.
        image_size: H = W in pixels, static.
        jitter: strength of every random change; 0 draws the glyph itself.

    Returns:
        Images in [0, 1], 0 where there is no ink.
    """
    return render_from_keys(strokes, labels, image_keys(key, labels.shape[0]), image_size, jitter)


def image_keys(key: Array, num_images: int) -> Array:
    """The keys of the images of `render`, for those who shard them over devices or want single ones again."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(num_images))


def render_from_keys(
    strokes: Strokes, labels: Int32[Array, " B"], keys: Array, image_size: int, jitter: float | Array = 1.0
) -> Float32[Array, "B H W 1"]:
    """One image for each label and key: ``render(strokes, labels, key, ...)`` from ``image_keys(key, B)``."""
    present = strokes.present[labels]
    num_strokes = present.shape[1]
    noise = jax.vmap(lambda key: jax.random.uniform(key, (7 + 5 * num_strokes,), minval=-1.0))(keys) * jitter
    whole, single = noise[:, :7], noise[:, 7:].reshape(-1, num_strokes, 5)
    points = _move_strokes(strokes.points[labels], single)
    points = _move_glyph(points, whole)
    half_widths = HALF_WIDTH * jnp.exp(LOG_WIDTH * whole[:, 6:] + STROKE_LOG_WIDTH * single[:, :, 4])
    # An absent stroke gets a width that covers no pixel.
    half_widths = jnp.where(present, half_widths, -jnp.inf)
    return _draw(points, half_widths, image_size)


def _move_strokes(points: Float32[Array, "B S P 2"], noise: Float32[Array, "B S 5"]) -> Float32[Array, "B S P 2"]:
    """Each stroke shifted, turned and scaled about its own middle."""
    middle = points.mean(axis=2, keepdims=True)
    angle = STROKE_ROTATION * noise[..., 2]
    scale = jnp.exp(STROKE_LOG_SCALE * noise[..., 3])
    cos, sin = scale * jnp.cos(angle), scale * jnp.sin(angle)
    linear = jnp.stack([cos, -sin, sin, cos], axis=-1)
    return middle + _apply(linear[:, :, None], points - middle) + STROKE_SHIFT * noise[:, :, None, :2]


def _move_glyph(points: Float32[Array, "B S P 2"], noise: Float32[Array, "B 7"]) -> Float32[Array, "B S P 2"]:
    """The whole glyph scaled, sheared, turned about the middle of the image, and shifted."""
    cos, sin = jnp.cos(ROTATION * noise[:, 2]), jnp.sin(ROTATION * noise[:, 2])
    shear = SHEAR * noise[:, 3]
    wide = jnp.exp(LOG_SCALE * noise[:, 4] + LOG_ASPECT * noise[:, 5])
    high = jnp.exp(LOG_SCALE * noise[:, 4] - LOG_ASPECT * noise[:, 5])
    # rotation @ [[1, shear], [0, 1]] @ diag(wide, high)
    linear = jnp.stack([cos * wide, (cos * shear - sin) * high, sin * wide, (sin * shear + cos) * high], axis=-1)
    return 0.5 + _apply(linear[:, None, None], points - 0.5) + SHIFT * noise[:, None, None, :2]


def _apply(linear: Float32[Array, "... 4"], points: Float32[Array, "... 2"]) -> Float32[Array, "... 2"]:
    """2 x 2 matrices, row by row in the last axis, times points; written out so that no matmul precision enters."""
    x, y = points[..., 0], points[..., 1]
    return jnp.stack([linear[..., 0] * x + linear[..., 1] * y, linear[..., 2] * x + linear[..., 3] * y], axis=-1)


def _draw(
    points: Float32[Array, "B S P 2"], half_widths: Float32[Array, "B S"], image_size: int
) -> Float32[Array, "B H W 1"]:
    """The most inked stroke at each pixel, stroke by stroke, so that only images are held in memory."""
    centres = (jnp.arange(image_size, dtype=jnp.float32) + 0.5) / image_size
    pixel_x, pixel_y = centres[None, None, :], centres[None, :, None]

    def add(reach, stroke):
        xy, half_width = stroke
        xy, half_width = xy[..., None, None], half_width[:, None, None]
        nearest = jnp.inf
        for p in range(xy.shape[1] - 1):
            nearest = jnp.minimum(nearest, _squared_distance(pixel_x, pixel_y, xy[:, p], xy[:, p + 1]))
        return jnp.maximum(reach, half_width - jnp.sqrt(nearest)), None

    nothing = jnp.full((points.shape[0], image_size, image_size), -1.0, jnp.float32)
    reach, _ = lax.scan(add, nothing, (jnp.swapaxes(points, 0, 1), half_widths.T))
    return jnp.clip(reach * image_size + 0.5, 0.0, 1.0)[..., None]


def _squared_distance(pixel_x, pixel_y, start, end):
    """Squared distance of pixel centres [1, 1, W], [1, H, 1] to segments, [B, 2, 1, 1] each -> [B, H, W]."""
    along_x, along_y = end[:, 0] - start[:, 0], end[:, 1] - start[:, 1]
    inverse = 1.0 / jnp.maximum(along_x**2 + along_y**2, 1e-12)
    x, y = pixel_x - start[:, 0], pixel_y - start[:, 1]
    t = jnp.clip((x * along_x + y * along_y) * inverse, 0.0, 1.0)
    return (x - t * along_x) ** 2 + (y - t * along_y) ** 2
