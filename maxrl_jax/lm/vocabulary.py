"""Large vocabularies: log-probabilities, top-p and draws without an array of tokens x V, and without a sort of V.

A vocabulary up to `FLAT` is handled in one piece by `sampling`, which is faster there; beyond it `sampling` and the
update come here. Letters: x any leading axes, M rows (tokens), C rows of one chunk, D hidden, V vocabulary.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp

from maxrl_jax.lm.decoder import soft_cap, wide

FLAT = 4096
CHUNK_ELEMENTS = 2**24  # logits alive at a time: 64 MB of float32
BLOCK = 256  # tokens of one block of the two-level draw

Residuals = tuple[jax.Array, ...]


def is_large(size: int) -> bool:
    """Whether a vocabulary of this size is handled here."""
    return size > FLAT


@dataclasses.dataclass(frozen=True)
class Distribution:
    """From hidden states to the sampling distribution; static.

    Attributes:
        temperature: positive, divides the logits.
        top_p: share of the probability kept, in (0, 1].
        soft_cap: c of c tanh(logit / c), before the temperature; None leaves logits as they are.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    soft_cap: float | None = None


def log_probs_and_entropies(
    hidden_xD: jax.Array, matrix_VxD: jax.Array, tokens_x: jax.Array, distribution: Distribution
) -> tuple[jax.Array, jax.Array]:
    """Log-probability of each token and entropy of the distribution it is of, both [...], in nats.

    The same as `sampling.log_probs` of `hidden @ matrix.T` (with `keep_x=tokens`), its `pick` and `entropy`.
    Logits exist for a chunk of rows at a time; the gradient makes them again, from
    d log p(t) / ds = onehot(t) - p and dH / ds = -p (log p + H), the set that top-p keeps held fixed.

    Args:
        hidden_xD: [..., D], after the final norm.
        matrix_VxD: [V, D], the output matrix.
        tokens_x: int [...].
        distribution: temperature, top-p and soft cap.
    """
    D = hidden_xD.shape[-1]
    rows = math.prod(tokens_x.shape)
    chunks = math.ceil(rows / max(1, CHUNK_ELEMENTS // matrix_VxD.shape[0]))
    missing = -rows % chunks

    def cut(a: jax.Array) -> jax.Array:
        return jnp.pad(a, [(0, missing)] + [(0, 0)] * (a.ndim - 1)).reshape(chunks, -1, *a.shape[1:])

    hidden_KxCxD, tokens_KxC = cut(hidden_xD.reshape(rows, D)), cut(tokens_x.reshape(rows))
    of_chunks = _chunked(hidden_KxCxD, matrix_VxD, tokens_KxC, distribution)
    return jax.tree.map(lambda a: a.reshape(-1)[:rows].reshape(tokens_x.shape), of_chunks)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _chunked(
    hidden_KxCxD: jax.Array, matrix_VxD: jax.Array, tokens_KxC: jax.Array, distribution: Distribution
) -> tuple[jax.Array, jax.Array]:
    return _forward(hidden_KxCxD, matrix_VxD, tokens_KxC, distribution)[0]


def _forward(
    hidden_KxCxD: jax.Array, matrix_VxD: jax.Array, tokens_KxC: jax.Array, distribution: Distribution
) -> tuple[tuple[jax.Array, jax.Array], Residuals]:
    def of_chunk(chunk: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, ...]:
        hidden_CxD, tokens_C = chunk
        scaled_CxV = _capped(hidden_CxD, matrix_VxD, distribution) / distribution.temperature
        least_C = total_C = jax.nn.logsumexp(scaled_CxV, axis=-1)
        if distribution.top_p < 1:
            edge_C = nucleus_edge(scaled_CxV - total_C[:, None], distribution.top_p)
            kept_CxV = scaled_CxV - total_C[:, None] >= edge_C[:, None]
            least_C = jnp.min(scaled_CxV, axis=-1, where=kept_CxV, initial=jnp.inf)
            total_C = jax.nn.logsumexp(scaled_CxV, axis=-1, where=_kept(scaled_CxV, least_C, tokens_C, distribution))
        probs_CxV = _probs(scaled_CxV, total_C, least_C, tokens_C, distribution)
        entropies_C = total_C - jnp.sum(probs_CxV * scaled_CxV, axis=-1)
        of_tokens_C = jnp.take_along_axis(scaled_CxV, tokens_C[:, None], axis=-1)[:, 0] - total_C
        return of_tokens_C, entropies_C, total_C, least_C

    of_tokens, entropies, total, least = jax.lax.map(of_chunk, (hidden_KxCxD, tokens_KxC))
    return (of_tokens, entropies), (hidden_KxCxD, matrix_VxD, tokens_KxC, entropies, total, least)


def _backward(
    distribution: Distribution, saved: Residuals, gradients: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array, None]:
    hidden_KxCxD, matrix_VxD, tokens_KxC, entropies, total, least = saved

    def of_chunk(matrix_gradient_VxD: jax.Array, chunk: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        hidden_CxD, tokens_C, entropies_C, total_C, least_C, of_log_prob_C, of_entropy_C = chunk
        capped_CxV = _capped(hidden_CxD, matrix_VxD, distribution)
        scaled_CxV = capped_CxV / distribution.temperature
        log_probs_CxV = scaled_CxV - total_C[:, None]
        probs_CxV = _probs(scaled_CxV, total_C, least_C, tokens_C, distribution)
        d_CxV = -probs_CxV * (of_log_prob_C[:, None] + of_entropy_C[:, None] * (log_probs_CxV + entropies_C[:, None]))
        d_CxV = d_CxV.at[jnp.arange(len(tokens_C)), tokens_C].add(of_log_prob_C) / distribution.temperature
        if distribution.soft_cap is not None:
            d_CxV *= 1 - (capped_CxV / distribution.soft_cap) ** 2
        d_CxV = d_CxV.astype(hidden_CxD.dtype)  # as every other product of the model rounds
        matrix_gradient_VxD += _product(d_CxV, hidden_CxD, 0, 0, matrix_gradient_VxD.dtype)
        return matrix_gradient_VxD, _product(d_CxV, matrix_VxD, 1, 0, hidden_CxD.dtype)

    start = jnp.zeros(matrix_VxD.shape, wide(matrix_VxD.dtype))
    chunks = (hidden_KxCxD, tokens_KxC, entropies, total, least, *gradients)
    matrix_gradient_VxD, hidden_gradient_KxCxD = jax.lax.scan(of_chunk, start, chunks)
    return hidden_gradient_KxCxD, matrix_gradient_VxD.astype(matrix_VxD.dtype), None


_chunked.defvjp(_forward, _backward)


def _capped(hidden_CxD: jax.Array, matrix_VxD: jax.Array, distribution: Distribution) -> jax.Array:
    """Logits [C, V] of one chunk, float32 or wider."""
    return soft_cap(_product(hidden_CxD, matrix_VxD, 1, 1, wide(hidden_CxD.dtype)), distribution.soft_cap)


def _kept(scaled_CxV: jax.Array, least_C: jax.Array, tokens_C: jax.Array, distribution: Distribution) -> jax.Array:
    """Which tokens top-p keeps, [C, V]: those down to the least, and the token that was drawn."""
    if distribution.top_p == 1:
        return jnp.ones(scaled_CxV.shape, bool)
    return (scaled_CxV >= least_C[:, None]) | (jnp.arange(scaled_CxV.shape[-1]) == tokens_C[:, None])


def _probs(
    scaled_CxV: jax.Array, total_C: jax.Array, least_C: jax.Array, tokens_C: jax.Array, distribution: Distribution
) -> jax.Array:
    """Probabilities [C, V] of the sampling distribution."""
    probs_CxV = jnp.exp(scaled_CxV - total_C[:, None])
    return jnp.where(_kept(scaled_CxV, least_C, tokens_C, distribution), probs_CxV, 0)


def _product(a: jax.Array, b: jax.Array, a_axis: int, b_axis: int, dtype: jax.typing.DTypeLike) -> jax.Array:
    """Matrix product of a and b over one axis of each, accumulated and returned in `dtype`."""
    return jax.lax.dot_general(a, b, (((a_axis,), (b_axis,)), ((), ())), preferred_element_type=dtype)


def nucleus_edge(log_probs_xV: jax.Array, top_p: float) -> jax.Array:
    """The log-probability [...] of the least probable token that top-p keeps, found by bisection.

    It is the largest threshold t, up to a float's rounding, such that the tokens with log p >= t have `top_p` of
    the probability: the same set as by a sort, with all the tokens that are as probable as the last one.
    """
    probs_xV = jnp.exp(log_probs_xV)

    def keeps_enough(threshold_x: jax.Array) -> jax.Array:
        return jnp.sum(probs_xV, axis=-1, where=log_probs_xV >= threshold_x[..., None]) >= top_p

    high_x = jnp.max(log_probs_xV, axis=-1)  # the most probable token is always kept
    # Below this are less than (1 - top_p) / 2 of the probability, whatever the other tokens are.
    low_x = jnp.full_like(high_x, math.log(max(1 - top_p, 1e-9) / (2 * log_probs_xV.shape[-1])))

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low_x, high_x = ends
        middle_x = (low_x + high_x) / 2
        enough_x = keeps_enough(middle_x)
        return jnp.where(enough_x, middle_x, low_x), jnp.where(enough_x, high_x, middle_x)

    bits = 40 if log_probs_xV.dtype == jnp.float32 else 70
    low_x, _ = jax.lax.fori_loop(0, bits, halve, (jnp.minimum(low_x, high_x), high_x))
    return jnp.where(keeps_enough(high_x), high_x, low_x)


def draw(log_probs_xV: jax.Array, uniforms_x: jax.Array) -> jax.Array:
    """One token per row, int32 [...]: the first whose cumulative probability exceeds the uniform number.

    First the block of tokens that it falls into, then the token within: no cumulative sum over V. A token of
    probability 0 is never drawn.
    """
    V = log_probs_xV.shape[-1]
    probs_xV = jnp.pad(jnp.exp(log_probs_xV), [(0, 0)] * (log_probs_xV.ndim - 1) + [(0, -V % BLOCK)])
    probs_xKxB = probs_xV.reshape(*probs_xV.shape[:-1], -1, BLOCK)
    mass_xK = probs_xKxB.sum(-1)
    before_xK = jnp.cumsum(mass_xK, axis=-1) - mass_xK
    threshold_x = uniforms_x * mass_xK.sum(-1)
    block_x = _last(before_xK, mass_xK, threshold_x)
    probs_xB = jnp.take_along_axis(probs_xKxB, block_x[..., None, None], axis=-2)[..., 0, :]
    rest_x = threshold_x - jnp.take_along_axis(before_xK, block_x[..., None], axis=-1)[..., 0]
    return block_x * BLOCK + _last(jnp.cumsum(probs_xB, axis=-1) - probs_xB, probs_xB, rest_x)


def _last(before_xK: jax.Array, mass_xK: jax.Array, threshold_x: jax.Array) -> jax.Array:
    """The last index, int32 [...], with some mass whose mass before it does not exceed the threshold."""
    possible_xK = (mass_xK > 0) & ((before_xK <= threshold_x[..., None]) | (before_xK == before_xK[..., :1]))
    return jnp.max(jnp.where(possible_xK, jnp.arange(mass_xK.shape[-1], dtype=jnp.int32), 0), axis=-1)
