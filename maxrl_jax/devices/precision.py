"""The type in which a model computes; parameters and optimizer state stay float32."""

import jax
import jax.numpy as jnp


def compute_dtype(name: str) -> jnp.dtype:
    """The type of the forward and backward passes.

    Args:
        name: a dtype's name, or auto: float32 on CPU, bfloat16 on accelerators.
    """
    if name == "auto":
        name = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return jnp.dtype(name)
