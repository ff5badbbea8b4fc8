"""The sampling distribution: temperature and top-p over logits, and one draw from it per uniform number."""

import jax
import jax.numpy as jnp

from maxrl_jax.lm import vocabulary
from maxrl_jax.lm.decoder import wide


def check(temperature: float, top_p: float) -> None:
    """Raises ValueError, one line, for settings that define no distribution."""
    if not temperature >= 0:
        raise ValueError(f"temperature: got {temperature}, allowed: a number >= 0 (0 is greedy decoding)")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p: got {top_p}, allowed: a number in (0, 1]")


def log_probs(
    logits_xV: jax.Array, temperature: float = 1.0, top_p: float = 1.0, keep_x: jax.Array | None = None
) -> jax.Array:
    """Log-probabilities of the sampling distribution, [..., V]; -inf for what top-p leaves out.

    Logits are divided by the temperature; then the most probable tokens are kept until their probability
    reaches `top_p` (tokens as probable as the last one kept stay too), and the rest is renormalised away.
    Differentiable in the logits, the kept set held fixed.

    Args:
        logits_xV: [..., V], any float type.
        temperature: positive. At 0 (greedy decoding) the log-probabilities are the model's own, at
            temperature 1: those of a point mass carry nothing.
        top_p: in (0, 1].
        keep_x: int [...], a token that is kept whatever its rank: the token that was drawn, when its
            log-probability is computed a second time and rounding may move the edge of the kept set.
    """
    check(temperature, top_p)
    scaled_xV = logits_xV.astype(wide(logits_xV.dtype)) / (temperature or 1.0)
    log_probs_xV = jax.nn.log_softmax(scaled_xV, axis=-1)
    if top_p == 1.0:
        return log_probs_xV
    kept_xV = _nucleus(jax.lax.stop_gradient(log_probs_xV), top_p)
    if keep_x is not None:
        kept_xV |= keep_x[..., None] == jnp.arange(kept_xV.shape[-1])
    return jax.nn.log_softmax(jnp.where(kept_xV, scaled_xV, -jnp.inf), axis=-1, where=kept_xV)


def _nucleus(log_probs_xV: jax.Array, top_p: float) -> jax.Array:
    """Which tokens top-p keeps, bool [..., V]."""
    if vocabulary.is_large(log_probs_xV.shape[-1]):
        return log_probs_xV >= vocabulary.nucleus_edge(log_probs_xV, top_p)[..., None]
    probs_xV = jnp.exp(log_probs_xV)
    sorted_xV = jnp.flip(jnp.sort(probs_xV, axis=-1), axis=-1)
    before_xV = jnp.cumsum(sorted_xV, axis=-1) - sorted_xV
    smallest_x = jnp.min(jnp.where(before_xV < top_p, sorted_xV, jnp.inf), axis=-1, keepdims=True)
    return probs_xV >= smallest_x


def draw(log_probs_xV: jax.Array, uniforms_x: jax.Array) -> jax.Array:
    """One token per row, int32 [...]: the first whose cumulative probability exceeds the uniform number.

    A token of probability 0 is never drawn. One uniform number a row costs less than V Gumbel variables.
    """
    if vocabulary.is_large(log_probs_xV.shape[-1]):
        return vocabulary.draw(log_probs_xV, uniforms_x)
    cumulative_xV = jnp.cumsum(jnp.exp(log_probs_xV), axis=-1)
    threshold_x1 = uniforms_x[..., None] * cumulative_xV[..., -1:]
    return jnp.sum(cumulative_xV <= threshold_x1, axis=-1, dtype=jnp.int32)


def entropy(log_probs_xV: jax.Array) -> jax.Array:
    """-sum p log p over the last axis, in nats; tokens of probability 0 count 0."""
    probs_xV = jnp.exp(log_probs_xV)
    return -jnp.sum(jnp.where(probs_xV > 0, probs_xV * log_probs_xV, 0.0), axis=-1)


def pick(log_probs_xV: jax.Array, tokens_x: jax.Array) -> jax.Array:
    """The log-probability of the given token of each row, [...]."""
    return jnp.take_along_axis(log_probs_xV, tokens_x[..., None], axis=-1)[..., 0]
