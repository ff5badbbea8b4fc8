"""Large vocabularies: log-probabilities, top-p and draws without an array of tokens x V, and without a sort of V.

`sampling` handles a vocabulary up to `FLAT` in one piece, which is faster there; `sampling` and the update use this
module beyond it. Letters: M rows (tokens), C of one chunk, D hidden, V vocabulary.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int32

from maxrl_jax.lm.decoder import soft_cap, wide

FLAT = 4096
CHUNK_ELEMENTS = 2**25  # of logits (and, for the gradient, what goes with them) alive at a time: 128 MB of float32
BLOCK = 128  # tokens of one block of the two-level draw

Residuals = tuple[Any, ...]


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
    hidden: Float[Array, "... D"],
    matrix: Float[Array, "V D"],
    tokens: Int[Array, "..."],
    distribution: Distribution,
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Log-probability of each token and entropy of the distribution it is of, in nats.

    The same as `sampling.log_probs` of `hidden @ matrix.T` (with `keep=tokens`), its `pick` and `entropy`.
    Logits exist for a chunk of rows at a time. The gradient keeps those of a single chunk; of several it makes them
    again for a chunk of the vocabulary. d log p(t) / ds = onehot(t) - p and dH / ds = -p (log p + H), the set that
    top-p keeps held fixed.

    Args:
        hidden: after the final norm.
        matrix: the output matrix.
        tokens: which tokens.
        distribution: temperature, top-p and soft cap.
    """
    rows = hidden.reshape(-1, hidden.shape[-1])
    results = _of_rows(rows, matrix, tokens.reshape(-1), distribution)
    return jax.tree.map(lambda a: a.reshape(tokens.shape), results)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _of_rows(
    hidden: Float[Array, "M D"], matrix: Float[Array, "V D"], tokens: Int[Array, " M"], distribution: Distribution
) -> tuple[Float[Array, " M"], Float[Array, " M"]]:
    return _forward(hidden, matrix, tokens, distribution)[0]


def _forward(
    hidden: Float[Array, "M D"], matrix: Float[Array, "V D"], tokens: Int[Array, " M"], distribution: Distribution
) -> tuple[tuple[Float[Array, " M"], Float[Array, " M"]], Residuals]:
    def of_chunk(chunk: tuple[Float[Array, "C D"], Int[Array, " C"]]) -> tuple[Array, ...]:
        hidden, tokens = chunk
        capped = _capped(hidden, matrix, distribution)
        scaled = capped / distribution.temperature
        least = total = jax.nn.logsumexp(scaled, axis=-1)
        drawn = jnp.arange(len(matrix)) == tokens[:, None]
        if distribution.top_p < 1:
            weights = jnp.exp(scaled - total[:, None])
            kept = weights >= nucleus_edge(weights, distribution.top_p)[:, None]
            lowest = jnp.min(scaled, axis=-1, where=kept, initial=jnp.inf)
            below = jnp.max(scaled, axis=-1, where=~kept, initial=-jnp.inf)
            # Between the two: the gradient's logits round otherwise than these.
            least = jnp.where((lowest + below) / 2 > below, (lowest + below) / 2, lowest)
            total = jax.nn.logsumexp(scaled, axis=-1, where=_kept(scaled, least, drawn, distribution))
        entropies = total - jnp.sum(_probs(scaled, total, least, drawn, distribution) * scaled, axis=-1)
        of_tokens = jnp.take_along_axis(scaled, tokens[:, None], axis=-1)[:, 0] - total
        return of_tokens, entropies, total, least, capped

    rows = len(tokens)
    chunks = math.ceil(rows / max(1, CHUNK_ELEMENTS // len(matrix)))

    def cut(a: Array) -> Array:
        return jnp.pad(a, [(0, -rows % chunks)] + [(0, 0)] * (a.ndim - 1)).reshape(chunks, -1, *a.shape[1:])

    if chunks == 1:
        *results, capped = of_chunk((hidden, tokens))
    else:
        found = jax.lax.map(lambda chunk: of_chunk(chunk)[:-1], (cut(hidden), cut(tokens)))
        results, capped = (a.reshape(-1)[:rows] for a in found), None
    of_tokens, entropies, total, least = results
    return (of_tokens, entropies), (hidden, matrix, tokens, entropies, total, least, capped)


def _backward(
    distribution: Distribution, saved: Residuals, gradients: tuple[Float[Array, " M"], Float[Array, " M"]]
) -> tuple[Float[Array, "M D"], Float[Array, "V D"], None]:
    """Chunk by chunk of the vocabulary: the matrix's gradient is written once, and only the rows' own is summed."""
    hidden, matrix, tokens, entropies, total, least, kept = saved
    of_log_prob, of_entropy = (gradient[:, None] for gradient in gradients)

    def of_chunk(
        first: jax.typing.ArrayLike, part: Float[Array, "C D"], capped: Float[Array, "M C"]
    ) -> tuple[Array, Float[Array, "C D"]]:
        scaled = capped / distribution.temperature
        drawn = jnp.arange(len(part)) == tokens[:, None] - first
        probs = _probs(scaled, total, least, drawn, distribution)
        d = -probs * (of_log_prob + of_entropy * (scaled - total[:, None] + entropies[:, None]))
        d = (d + jnp.where(drawn, of_log_prob, 0)) / distribution.temperature
        if distribution.soft_cap is not None:
            d *= 1 - (capped / distribution.soft_cap) ** 2
        d = d.astype(hidden.dtype)  # as every other product of the model rounds
        return _product(d, part, 1, 0, wide(hidden.dtype)), _product(d, hidden, 0, 0, matrix.dtype)

    if kept is not None:
        of_hidden, of_matrix = of_chunk(0, matrix, kept)
        return of_hidden.astype(hidden.dtype), of_matrix, None

    def again(first: jax.typing.ArrayLike, part: Float[Array, "C D"]) -> tuple[Array, Float[Array, "C D"]]:
        return of_chunk(first, part, _capped(hidden, part, distribution))

    V, D = matrix.shape
    # Alive at a time: logits, their gradient, and the matrix's gradient.
    size = min(V, max(1, CHUNK_ELEMENTS // (2 * len(tokens) + D)))

    def add(number: Array, sums: tuple[Float[Array, "M D"], Float[Array, "V D"]]) -> tuple[Array, Array]:
        first = number * size
        of_hidden, of_part = again(first, jax.lax.dynamic_slice_in_dim(matrix, first, size))
        return sums[0] + of_hidden, jax.lax.dynamic_update_slice_in_dim(sums[1], of_part, first, 0)

    sums = jnp.zeros(hidden.shape, wide(hidden.dtype)), jnp.zeros_like(matrix)
    of_hidden, of_matrix = jax.lax.fori_loop(0, V // size, add, sums)
    if rest := V % size:
        of_hidden_rest, of_rest = again(V - rest, matrix[V - rest :])
        of_hidden, of_matrix = of_hidden + of_hidden_rest, of_matrix.at[V - rest :].set(of_rest)
    return of_hidden.astype(hidden.dtype), of_matrix, None


_of_rows.defvjp(_forward, _backward)


def _capped(hidden: Float[Array, "M D"], matrix: Float[Array, "C D"], distribution: Distribution) -> Array:
    """Logits [M, C], float32 or wider."""
    return soft_cap(_product(hidden, matrix, 1, 1, wide(hidden.dtype)), distribution.soft_cap)


def _kept(
    scaled: Float[Array, "M C"], least: Float[Array, " M"], drawn: Bool[Array, "M C"], distribution: Distribution
) -> Bool[Array, "M C"]:
    """Which tokens top-p keeps: those down to the least, and the token that was drawn."""
    if distribution.top_p == 1:
        return jnp.ones(scaled.shape, bool)
    return (scaled >= least[:, None]) | drawn


def _probs(
    scaled: Float[Array, "M C"],
    total: Float[Array, " M"],
    least: Float[Array, " M"],
    drawn: Bool[Array, "M C"],
    distribution: Distribution,
) -> Float[Array, "M C"]:
    """Probabilities of the sampling distribution."""
    return jnp.where(_kept(scaled, least, drawn, distribution), jnp.exp(scaled - total[:, None]), 0)


def _product(a: Array, b: Array, a_axis: int, b_axis: int, dtype: jax.typing.DTypeLike) -> Array:
    """Matrix product of a and b over one axis of each, accumulated and returned in `dtype`."""
    return jax.lax.dot_general(a, b, (((a_axis,), (b_axis,)), ((), ())), preferred_element_type=dtype)


def nucleus_edge(weights: Float[Array, "... V"], top_p: float) -> Float[Array, "..."]:
    """The threshold of top-p: it keeps the tokens whose weight is at least this.

    Bisection finds the largest threshold, up to a float's rounding, whose tokens have `top_p` of the weight: the same
    set as by a sort, with all tokens as probable as the last one kept.

    Args:
        weights: unnormalised probabilities.
        top_p: in (0, 1).
    """
    needed = top_p * weights.sum(-1)
    high = jnp.log(jnp.max(weights, axis=-1))
    # Tokens below this have less than (1 - top_p) / 2 of the weight together, whatever the others are.
    low = jnp.log(weights.sum(-1)) + math.log(max(1 - top_p, 1e-9) / (2 * weights.shape[-1]))

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        enough = jnp.sum(jnp.where(weights >= jnp.exp(middle)[..., None], weights, 0), axis=-1) >= needed
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    bits = 26 if weights.dtype == jnp.float32 else 56
    return jnp.exp(jax.lax.fori_loop(0, bits, halve, (jnp.minimum(low, high), high))[0])


def sample(
    logits: Float[Array, "... V"], uniforms: Float[Array, "..."], temperature: float, top_p: float
) -> tuple[Int32[Array, "..."], Float[Array, "..."], Float[Array, "..."]]:
    """As `sampling.sample`, in few passes over the vocabulary: one exponential a token, then sums."""
    scaled = logits.astype(wide(logits.dtype)) / (temperature or 1.0)
    top = jnp.max(scaled, axis=-1)
    weights = jnp.exp(scaled - top[..., None])
    if top_p < 1:
        weights = jnp.where(weights >= nucleus_edge(weights, top_p)[..., None], weights, 0)
    if temperature == 0:  # the first of the most probable tokens
        numbers = jnp.arange(scaled.shape[-1], dtype=jnp.int32)
        tokens = jnp.min(jnp.where(scaled == top[..., None], numbers, scaled.shape[-1]), axis=-1)
    else:
        tokens = draw(weights, uniforms)
    # Sums as `draw` has them, and a product for the mean: a CPU's compiler fuses other reductions into a slow loop.
    total = _blocks(weights).sum(-1).sum(-1)
    mean = jnp.einsum("...v,...v->...", weights, scaled, precision="highest") / total
    of_tokens = jnp.take_along_axis(scaled, tokens[..., None], axis=-1)[..., 0]
    log_total = jnp.log(total) + top
    return tokens, of_tokens - log_total, log_total - mean


def draw(weights: Float[Array, "... V"], uniforms: Float[Array, "..."]) -> Int32[Array, "..."]:
    """One token for each row: the first whose cumulative share of the weights exceeds the uniform number.

    It finds the block of tokens first, then the token within: no cumulative sum over V. It never draws a token of
    weight 0.
    """
    blocks = _blocks(weights)
    mass = blocks.sum(-1)
    before = jnp.cumsum(mass, axis=-1) - mass
    threshold = uniforms * mass.sum(-1)
    block = _last(before, mass, threshold)
    within = jnp.take_along_axis(blocks, block[..., None, None], axis=-2)[..., 0, :]
    rest = threshold - jnp.take_along_axis(before, block[..., None], axis=-1)[..., 0]
    return block * BLOCK + _last(jnp.cumsum(within, axis=-1) - within, within, rest)


def _blocks(weights: Float[Array, "... V"]) -> Float[Array, "... K B"]:
    """Cut into blocks; the last one is filled up with zeros."""
    padded = jnp.pad(weights, [(0, 0)] * (weights.ndim - 1) + [(0, -weights.shape[-1] % BLOCK)])
    return padded.reshape(*weights.shape[:-1], -1, BLOCK)


def _last(
    before: Float[Array, "... K"], mass: Float[Array, "... K"], threshold: Float[Array, "..."]
) -> Int32[Array, "..."]:
    """The last index with some mass whose mass before it does not exceed the threshold."""
    possible = (mass > 0) & ((before <= threshold[..., None]) | (before == before[..., :1]))
    return jnp.max(jnp.where(possible, jnp.arange(mass.shape[-1], dtype=jnp.int32), 0), axis=-1)
