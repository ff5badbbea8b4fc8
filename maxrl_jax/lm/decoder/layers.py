"""Linear map and RMS norm of a block."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


def wide(dtype: jax.typing.DTypeLike) -> jnp.dtype:
    """The type that norms, softmaxes and sums are computed in: float32, or float64 for float64."""
    return jnp.promote_types(dtype, jnp.float32)


def soft_cap(x: Float[Array, "..."], cap: float | None) -> Float[Array, "..."]:
    """cap tanh(x / cap), which keeps x in (-cap, cap); x itself without a cap."""
    return x if cap is None else cap * jnp.tanh(x / cap)


class RMSNorm(nnx.Module):
    """x / sqrt(mean(x^2) + eps) times a learnt scale over the last axis.

    With `unit_offset` the factor is 1 + scale and is applied before rounding; without it, after.
    """

    def __init__(self, width: int, eps: float, *, unit_offset: bool = False):
        self.scale = nnx.Param(jnp.zeros((width,)) if unit_offset else jnp.ones((width,)))
        self.eps = eps
        self.unit_offset = unit_offset

    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        """Normalises the last axis, in float32 or wider."""
        y = x.astype(wide(x.dtype))
        y = y * jax.lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + self.eps)
        if self.unit_offset:
            return (y * (1 + self.scale[...].astype(y.dtype))).astype(x.dtype)
        return y.astype(x.dtype) * self.scale[...]


class Linear(nnx.Module):
    """x W + b over the last axis; weights normal with the given standard deviation, bias 0."""

    def __init__(self, inputs: int, outputs: int, *, stddev: float, bias: bool = False, rngs: nnx.Rngs):
        self.kernel = nnx.Param(nnx.initializers.normal(stddev)(rngs.params(), (inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros((outputs,))) if bias else None

    def __call__(self, x: Float[Array, "... inputs"]) -> Float[Array, "... outputs"]:
        """Maps the last axis.

        The leading axes are flattened first: with several of them, XLA would write out a transposed copy of
        the incoming gradient for the gradient of W, which costs more on a CPU than the product itself.
        """
        y = x.reshape(-1, x.shape[-1]) @ self.kernel[...]
        if self.bias is not None:
            y = y + self.bias[...]
        return y.reshape(*x.shape[:-1], -1)
