"""Standard deviations and division by them, with values and derivatives that neither overflow nor vanish."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_jvp
def root_mean_square(
    deviations: Float[Array, "*batch N"], weights: Float[Array, " N"] | Float[Array, ""] | float
) -> Float[Array, "*batch 1"]:
    """sqrt(sum_i w_i x_i^2) over the last axis, kept; zero with derivative zero when all x_i are.

    Args:
        deviations: x.
        weights: w >= 0, constants.
    """
    largest = jnp.max(jnp.abs(deviations), axis=-1, keepdims=True)
    # Squares of 1e-20 vanish in float32 and squares of 1e20 overflow: square what is scaled to at most one.
    scale = jnp.where(largest > 0, largest, 1)
    return scale * jnp.sqrt(jnp.sum(weights * (deviations / scale) ** 2, axis=-1, keepdims=True))


@root_mean_square.defjvp
def _root_mean_square_jvp(primals, tangents):
    deviations, weights = primals
    spread = root_mean_square(deviations, weights)
    direction = deviations / jnp.where(spread > 0, spread, 1)
    return spread, jnp.sum(weights * direction * tangents[0], axis=-1, keepdims=True)


@jax.custom_jvp
def divide(deviations: Float[Array, "*batch N"], spread: Float[Array, "*batch 1"]) -> Float[Array, "*batch N"]:
    """deviations / spread, zero where the spread is; its derivative divides once at a time."""
    return deviations / jnp.where(spread > 0, spread, 1)


@divide.defjvp
def _divide_jvp(primals, tangents):
    deviations, spread = primals
    safe = jnp.where(spread > 0, spread, 1)
    ratio = divide(deviations, spread)
    # -x/y^2 as -(x/y)/y: y^2 leaves float32's range long before y does.
    return ratio, tangents[0] / safe - ratio * (tangents[1] / safe)
