"""Rotary position embedding: the angles of positions, and the rotation of heads by them."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from maxrl_jax.lm.decoder.config import Config, Llama3Scaling
from maxrl_jax.lm.decoder.layers import wide

Rotation = tuple[Float32[Array, "... 1 half"], Float32[Array, "... 1 half"]]
"""Cosines and sines of the angles of positions, one for each of the h/2 pairs of a head."""


def rotation(config: Config, start: int, stop: int) -> Rotation:
    """Cosines and sines of position * frequency for positions start..stop-1, each [stop - start, 1, h/2].

    Host constants, rounded to float32 where the reference implementation rounds: inside a decode loop
    nothing is left to compute.
    """
    angles = np.arange(start, stop, dtype=np.float32)[:, None, None] * frequencies(config)
    return jnp.asarray(np.cos(angles)), jnp.asarray(np.sin(angles))


def frequencies(config: Config) -> Float32[np.ndarray, " half"]:
    """theta^(-2i/h) for i < h/2, stretched when the config says so."""
    h = config.head_width
    plain = np.float32(config.rope_theta) ** (-np.arange(0, h, 2, dtype=np.float32) / np.float32(h))
    return plain if config.rope_scaling is None else _stretched(plain, config.rope_scaling)


def _stretched(plain: Float32[np.ndarray, " half"], scaling: Llama3Scaling) -> Float32[np.ndarray, " half"]:
    """Frequencies of long waves divided by the factor, those of short waves kept, linear in between."""
    turns = np.float32(scaling.original_max_positions) * plain / np.float32(2 * math.pi)  # in the first context
    low, high = np.float32(scaling.low_freq_factor), np.float32(scaling.high_freq_factor)
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return kept * plain + (1 - kept) * plain / np.float32(scaling.factor)


def rotate(x: Float[Array, "... H h"], rope: Rotation) -> Float[Array, "... H h"]:
    """Rotates the pairs (x_i, x_{i + h/2}) of every head by the angle of its position."""
    cos, sin = rope
    a, b = jnp.split(x.astype(wide(x.dtype)), 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).astype(x.dtype)
