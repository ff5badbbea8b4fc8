"""Linear map, RMS norm and rotary embedding of a Qwen2 block."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from maxrl_jax.lm.decoder.config import Config

Rotation = tuple[jax.Array, jax.Array]


def wide(dtype: jax.typing.DTypeLike) -> jnp.dtype:
    """The type that norms, softmaxes and sums are computed in: float32, or float64 for float64."""
    return jnp.promote_types(dtype, jnp.float32)


def rotation(config: Config, start: int, stop: int) -> Rotation:
    """Cosines and sines of position * theta^(-2i/h) for positions start..stop-1, each [T, 1, h/2].

    Host constants, rounded to float32 where the reference implementation rounds: inside a decode loop
    nothing is left to compute.
    """
    h = config.head_width
    frequencies = np.float32(config.rope_theta) ** (-np.arange(0, h, 2, dtype=np.float32) / np.float32(h))
    angles = np.arange(start, stop, dtype=np.float32)[:, None, None] * frequencies
    return jnp.asarray(np.cos(angles)), jnp.asarray(np.sin(angles))


def rotate(x_xHxh: jax.Array, rope: Rotation) -> jax.Array:
    """Rotates the pairs (x_i, x_{i + h/2}) of every head by the angle of its position."""
    cos, sin = rope
    a, b = jnp.split(x_xHxh.astype(wide(x_xHxh.dtype)), 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).astype(x_xHxh.dtype)


class RMSNorm(nnx.Module):
    """x / sqrt(mean(x^2) + eps) * scale over the last axis."""

    def __init__(self, width: int, eps: float):
        self.scale = nnx.Param(jnp.ones((width,)))
        self.eps = eps

    def __call__(self, x_xD: jax.Array) -> jax.Array:
        """Normalises [..., D]."""
        x = x_xD.astype(wide(x_xD.dtype))
        x = x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + self.eps)
        return x.astype(x_xD.dtype) * self.scale[...]


class Linear(nnx.Module):
    """x W + b over the last axis; weights normal with the given standard deviation, bias 0."""

    def __init__(self, inputs: int, outputs: int, *, stddev: float, bias: bool = False, rngs: nnx.Rngs):
        self.kernel = nnx.Param(nnx.initializers.normal(stddev)(rngs.params(), (inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros((outputs,))) if bias else None

    def __call__(self, x_xD: jax.Array) -> jax.Array:
        """Maps [..., inputs] to [..., outputs].

        The leading axes are flattened first: with several of them, XLA would write out a transposed copy of
        the incoming gradient for the gradient of W, which costs more on a CPU than the product itself.
        """
        y_MxE = x_xD.reshape(-1, x_xD.shape[-1]) @ self.kernel[...]
        if self.bias is not None:
            y_MxE = y_MxE + self.bias[...]
        return y_MxE.reshape(*x_xD.shape[:-1], -1)
