"""The sampling distribution: temperature and top-p over logits, and one draw from it for each uniform number."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int32

from maxrl_jax.lm import vocabulary
from maxrl_jax.lm.decoder import wide

SMALLEST = 1e-30
"""Temperature that float32 logits can be divided by."""


def check(temperature: float, top_p: float) -> None:
    """Raises ValueError, one line, for settings that define no distribution."""
    if temperature != 0 and not temperature >= SMALLEST:
        raise ValueError(f"temperature: got {temperature}, allowed: 0 (greedy decoding), or {SMALLEST} or more")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p: got {top_p}, allowed: a number in (0, 1]")


def log_probs(
    logits: Float[Array, "... V"],
    temperature: float = 1.0,
    top_p: float = 1.0,
    keep: Int[Array, "..."] | None = None,
) -> Float[Array, "... V"]:
    """Log-probabilities of the sampling distribution, float32 or wider; -inf for what top-p leaves out.

    Logits are divided by the temperature; then the most probable tokens are kept until their probability
    reaches `top_p` (tokens as probable as the last one kept stay too), and the rest is renormalised away.
    Differentiable in the logits, the kept set held fixed.

    Args:
        logits: of any float type.
        temperature: positive. At 0 (greedy decoding) the log-probabilities are the model's own, at
            temperature 1: those of a point mass carry nothing.
        top_p: in (0, 1].
        keep: a token that is kept whatever its rank: the token that was drawn, when its log-probability is
            computed a second time and rounding may move the edge of the kept set.
    """
    check(temperature, top_p)
    scaled = logits.astype(wide(logits.dtype)) / (temperature or 1.0)
    log_probs = jax.nn.log_softmax(scaled, axis=-1)
    if top_p == 1.0:
        return log_probs
    kept = _nucleus(jax.lax.stop_gradient(log_probs), top_p)
    if keep is not None:
        kept |= keep[..., None] == jnp.arange(kept.shape[-1])
    return jax.nn.log_softmax(jnp.where(kept, scaled, -jnp.inf), axis=-1, where=kept)


def _nucleus(log_probs: Float[Array, "... V"], top_p: float) -> Bool[Array, "... V"]:
    """The tokens that top-p keeps."""
    probs = jnp.exp(log_probs)
    descending = jnp.flip(jnp.sort(probs, axis=-1), axis=-1)
    before = jnp.cumsum(descending, axis=-1) - descending
    smallest = jnp.min(jnp.where(before < top_p, descending, jnp.inf), axis=-1, keepdims=True)
    return probs >= smallest


def sample(
    logits: Float[Array, "... V"], uniforms: Float[Array, "..."], temperature: float, top_p: float
) -> tuple[Int32[Array, "..."], Float[Array, "..."], Float[Array, "..."]]:
    """A token for each row, its log-probability, and the entropy of the distribution it is drawn from.

    Args:
        logits: of any float type.
        uniforms: one number in [0, 1) for each row.
        temperature: as in `log_probs`; 0 takes the most probable token.
        top_p: as in `log_probs`.
    """
    if vocabulary.is_large(logits.shape[-1]):
        return vocabulary.sample(logits, uniforms, temperature, top_p)
    all_tokens = log_probs(logits, temperature, top_p)
    greedy = temperature == 0
    tokens = jnp.argmax(logits, axis=-1).astype(jnp.int32) if greedy else draw(all_tokens, uniforms)
    return tokens, pick(all_tokens, tokens), entropy(all_tokens)


def draw(log_probs: Float[Array, "... V"], uniforms: Float[Array, "..."]) -> Int32[Array, "..."]:
    """One token per row: the first whose cumulative probability exceeds the uniform number.

    A token of probability 0 is never drawn. One uniform number a row costs less than V Gumbel variables.
    """
    cumulative = jnp.cumsum(jnp.exp(log_probs), axis=-1)
    threshold = uniforms[..., None] * cumulative[..., -1:]
    return jnp.sum(cumulative <= threshold, axis=-1, dtype=jnp.int32)


def entropy(log_probs: Float[Array, "... V"]) -> Float[Array, "..."]:
    """-sum p log p over the last axis, in nats; tokens of probability 0 count 0."""
    probs = jnp.exp(log_probs)
    return -jnp.sum(jnp.where(probs > 0, probs * log_probs, 0.0), axis=-1)


def pick(log_probs: Float[Array, "... V"], tokens: Int[Array, "..."]) -> Float[Array, "..."]:
    """The log-probability of the given token of each row."""
    return jnp.take_along_axis(log_probs, tokens[..., None], axis=-1)[..., 0]
