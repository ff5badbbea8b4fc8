"""One-step problems: N rollouts of a categorical policy with one right class, without an N x classes array.

The loss is -(1/N) sum_y n_y A_y log pi(y), n_y the number of rollouts of class y and A_y one of two values (right
class or not). Three ways to draw it share one expectation:

  counts    n_y counted from N draws: all the noise of N rollouts.
  marginal  only K ~ Binomial(N, p) is drawn. Given K, the N - K failures have mean score
            -(p/(1-p)) (onehot - pi), so they are summed out exactly: same expectation, no more variance, and a
            cost that does not depend on N.
  expected  nothing is drawn: w(p) grad p with the exact weight at this N.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int32

from maxrl_jax import objectives
from maxrl_jax.advantages import contracts

SAMPLINGS = ("counts", "marginal", "expected")


class CategoricalTerms(NamedTuple):
    """Per-example results of `categorical_terms`.

    Attributes:
        loss: surrogate losses; their gradients are minus the policy gradients.
        solved: whether a rollout succeeded (0 or 1; its probability when nothing is drawn).
    """

    loss: Float[Array, "*batch"]
    solved: Float[Array, "*batch"]


def _label_log_odds(logits: Float[Array, "*batch C"], labels: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
    """log p - log(1-p) of the right class, with 1-p summed over the other classes."""
    is_label = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
    right = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    return right - jax.nn.logsumexp(jnp.where(is_label, -jnp.inf, logits), axis=-1)


def draw_counts(key: jax.Array, logits: Float[Array, "*batch C"], num_rollouts: int) -> Int32[Array, "*batch C"]:
    """Multinomial counts of N draws from softmax(logits), without an N x classes array.

    Up to as many rollouts as classes: N uniforms, each looked up in the cumulative probabilities. Beyond: N sorted
    uniforms from exponential spacings, and one search per class. Probabilities below 2^-24 are not resolved.

    Args:
        key: consumed.
        logits: of the policy.
        num_rollouts: N.

    Returns:
        Counts that sum to N.
    """
    *batch, classes = logits.shape
    cumulative = jnp.cumsum(jax.nn.softmax(logits.astype(jnp.float32), axis=-1), axis=-1)
    if num_rollouts <= classes:
        uniforms = jax.random.uniform(key, (*batch, num_rollouts)) * cumulative[..., -1:]
        return _histogram(cumulative, uniforms)
    spacings = jax.random.exponential(key, (*batch, num_rollouts + 1))
    arrivals = jnp.cumsum(spacings, axis=-1)
    # Uniforms are arrivals / arrivals[N]; the classes' ends are stretched instead: C products, not N.
    return _count_between(cumulative * (arrivals[..., -1:] / cumulative[..., -1:]), arrivals[..., :-1])


def _histogram(cumulative: Float[Array, "*batch C"], uniforms: Float[Array, "*batch N"]) -> Int32[Array, "*batch C"]:
    """Counts of uniforms falling into each class."""
    # The last end counts for nothing: what rounding leaves beyond it belongs to the last class.
    index = number_below(cumulative[..., :-1], uniforms, or_equal=True)
    rows = jnp.zeros(cumulative.shape, jnp.int32).reshape(-1, cumulative.shape[-1])
    counts = jax.vmap(lambda row, i: row.at[i].add(1))(rows, index.reshape(len(rows), -1))
    return counts.reshape(cumulative.shape)


def _count_between(
    cumulative: Float[Array, "*batch C"], ascending: Float[Array, "*batch N"]
) -> Int32[Array, "*batch C"]:
    """Counts of ascending points between consecutive ends of the classes."""
    below = number_below(ascending, cumulative[..., :-1])
    return jnp.diff(below, axis=-1, prepend=0, append=ascending.shape[-1])


def number_below(
    ascending: Float[Array, "*batch n"], queries: Float[Array, "*batch q"], *, or_equal: bool = False
) -> Int32[Array, "*batch q"]:
    """How many of the ascending numbers lie below each query, row by row.

    The table is padded to a power of two less one, so that a search is one gather and one comparison a level, for
    all queries at once: on a CPU several times faster than jnp.searchsorted under vmap.

    Args:
        ascending: sorted rows.
        queries: what is looked up in its row.
        or_equal: count those equal to the query too.
    """
    levels = ascending.shape[-1].bit_length()
    pad = (1 << levels) - 1 - ascending.shape[-1]
    table = jnp.pad(ascending, [(0, 0)] * (ascending.ndim - 1) + [(0, pad)], constant_values=jnp.inf)

    def descend(level: jax.Array, found: jax.Array) -> jax.Array:
        half = jnp.left_shift(jnp.int32(1), jnp.asarray(levels - 1 - level, jnp.int32))
        middle = jnp.take_along_axis(table, found + (half - 1), axis=-1, mode="promise_in_bounds")
        return found + jnp.where(middle <= queries if or_equal else middle < queries, half, 0)

    # Unrolled, XLA on a CPU makes one program of all levels that runs at half the speed; a GPU gains by it.
    unroll = jax.default_backend() != "cpu"
    return jax.lax.fori_loop(0, levels, descend, jnp.zeros(queries.shape, jnp.int32), unroll=unroll)


def _tables(
    advantage: Callable[..., jax.Array], num_rollouts: int
) -> tuple[Float[Array, " {num_rollouts}+1"], Float[Array, " {num_rollouts}+1"]]:
    """(A_success, A_fail) over K, float32."""
    success, fail = objectives.binary_form(advantage, num_rollouts)
    return jnp.asarray(success, jnp.float32), jnp.asarray(fail, jnp.float32)


def _as_problem(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The two as arrays that fit each other."""
    logits = jnp.asarray(logits)
    if logits.ndim < 1 or logits.shape[-1] < 1 or np.shape(labels) != logits.shape[:-1]:
        raise ValueError(
            "categorical_rollouts: logits must have shape [*batch, C] and labels [*batch], got "
            f"{logits.shape} and {np.shape(labels)}"
        )
    contracts.integers("categorical_rollouts", "labels", labels, 0, logits.shape[-1] - 1)
    return logits, jnp.clip(jnp.asarray(labels), 0, logits.shape[-1] - 1)


def categorical_terms(
    logits: Float[Array, "*batch C"],
    labels: Int[Array, "*batch"],
    key: jax.Array,
    num_rollouts: int,
    advantage: Callable[..., jax.Array],
    sampling: str = "counts",
) -> CategoricalTerms:
    """Per-example surrogate losses of N rollouts of softmax(logits) with reward 1 on the label.

    Args:
        logits: of the policy.
        labels: the right classes, 0..C-1; concrete ones are checked, traced ones outside count as the nearer end.
        key: consumed (unused for `expected`).
        num_rollouts: N, static.
        advantage: a symmetric estimator, an `Estimator` or any such function of rewards [*batch, N].
        sampling: 'counts', 'marginal' or 'expected', see the module.

    Returns:
        Losses and success indicators.

    Raises:
        ValueError: unknown sampling, N < 1, labels that do not fit the logits, an estimator that is not symmetric
            or not defined at this N.
    """
    if sampling not in SAMPLINGS:
        raise ValueError(f"unknown sampling {sampling!r}; allowed: {', '.join(SAMPLINGS)}")
    contracts.at_least("categorical_rollouts", "num_rollouts", num_rollouts, 1)
    logits, labels = _as_problem(logits, labels)
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    if sampling == "counts":
        return _from_counts(logits, labels, key, num_rollouts, advantage)
    right_log_prob = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], axis=-1)[..., 0]
    # The factor of the score is a constant: gradients stop where it is made.
    if sampling == "marginal":
        log_odds = jax.lax.stop_gradient(_label_log_odds(logits, labels))
        coefficient, solved = _from_successes(log_odds, key, num_rollouts, advantage)
    else:
        p = jnp.exp(jax.lax.stop_gradient(right_log_prob))
        coefficient = p * objectives.effective_weight(advantage, p, num_rollouts)
        solved = jnp.asarray(objectives.pass_at_k(p, num_rollouts))
    return CategoricalTerms(-coefficient * right_log_prob, solved)


def _from_counts(logits, labels, key, num_rollouts, advantage) -> CategoricalTerms:
    success, fail = _tables(advantage, num_rollouts)
    counts = draw_counts(key, jax.lax.stop_gradient(logits), num_rollouts)
    total = jnp.take_along_axis(counts, labels[..., None], axis=-1)
    is_label = jnp.arange(logits.shape[-1]) == labels[..., None]
    weights = counts * jnp.where(is_label, success[total], fail[total]) / num_rollouts
    loss = -jnp.sum(jax.lax.stop_gradient(weights) * jax.nn.log_softmax(logits), axis=-1)
    return CategoricalTerms(loss, (total[..., 0] > 0).astype(jnp.float32))


def _from_successes(log_odds, key, num_rollouts, advantage) -> tuple[jax.Array, jax.Array]:
    """(1/N) [K A_s - (N-K) A_f p/(1-p)] with K ~ Binomial(N, p), the factor of (onehot - pi)."""
    success, fail = _tables(advantage, num_rollouts)
    # Where 1 - p rounds to 0 every draw succeeds; the odds are capped so that 0 x inf cannot arise.
    odds = jnp.exp(jnp.minimum(log_odds, 80))
    total = jax.random.binomial(key, num_rollouts, jax.nn.sigmoid(log_odds), dtype=log_odds.dtype)
    failures = num_rollouts - total
    index = total.astype(jnp.int32)
    lost = jnp.where(failures > 0, failures * fail[index] * odds, 0)
    return (total * success[index] - lost) / num_rollouts, (total > 0).astype(jnp.float32)


def categorical_rollouts(
    logits: Float[Array, "*batch C"],
    labels: Int[Array, "*batch"],
    key: jax.Array,
    num_rollouts: int,
    advantage: Callable[..., jax.Array],
    sampling: str = "counts",
) -> Float[Array, ""]:
    """Mean over the batch of -(1/N) sum_y n_y A_y log pi(y); see `categorical_terms` for the arguments.

    Returns:
        The loss; its gradient is minus the mean policy gradient of the batch.
    """
    return jnp.mean(categorical_terms(logits, labels, key, num_rollouts, advantage, sampling).loss)
