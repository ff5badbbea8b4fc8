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

from maxrl_jax import objectives
from maxrl_jax.advantages.table import Advantage

SAMPLINGS = ("counts", "marginal", "expected")


class CategoricalTerms(NamedTuple):
    """Per-example results of `categorical_terms`.

    Attributes:
      loss: [*batch] surrogate losses; their gradients are minus the policy gradients.
      solved: [*batch] whether a rollout succeeded (0 or 1; its probability when nothing is drawn).
    """

    loss: jax.Array
    solved: jax.Array


def _label_log_odds(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """log p - log(1-p) of the right class [*batch], with 1-p summed over the other classes."""
    is_label = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
    right = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    return right - jax.nn.logsumexp(jnp.where(is_label, -jnp.inf, logits), axis=-1)


def draw_counts(key: jax.Array, logits: jax.Array, num_rollouts: int) -> jax.Array:
    """Multinomial counts of N draws from softmax(logits), without an N x classes array.

    Up to as many rollouts as classes: N uniforms, each looked up in the cumulative probabilities. Beyond: N sorted
    uniforms from exponential spacings, and one search per class. Probabilities below 2^-24 are not resolved.

    Args:
      key: consumed.
      logits: [*batch, C].
      num_rollouts: N.

    Returns:
      [*batch, C] int32 counts that sum to N.
    """
    *batch, classes = logits.shape
    cumulative = jnp.cumsum(jax.nn.softmax(logits.astype(jnp.float32), axis=-1), axis=-1)
    if num_rollouts <= classes:
        uniforms = jax.random.uniform(key, (*batch, num_rollouts)) * cumulative[..., -1:]
        counts = _histogram
    else:
        spacings = jax.random.exponential(key, (*batch, num_rollouts + 1))
        arrivals = jnp.cumsum(spacings, axis=-1)
        # Uniforms are arrivals / arrivals[N]; the classes' ends are stretched instead: C products, not N.
        uniforms = arrivals[..., :-1]
        cumulative = cumulative * (arrivals[..., -1:] / cumulative[..., -1:])
        counts = _count_between
    for _ in batch:
        counts = jax.vmap(counts)
    return counts(cumulative, uniforms)


def _histogram(cumulative: jax.Array, uniforms: jax.Array) -> jax.Array:
    """Counts [C] of uniforms [N] falling into each class."""
    index = jnp.searchsorted(cumulative, uniforms, side="right", method="scan_unrolled")
    index = jnp.minimum(index, cumulative.shape[0] - 1)
    return jnp.zeros(cumulative.shape[0], jnp.int32).at[index].add(1)


def _count_between(cumulative: jax.Array, ascending: jax.Array) -> jax.Array:
    """Counts [C] of ascending points [N] between consecutive ends of the classes."""
    below = jnp.searchsorted(ascending, cumulative[:-1], side="left", method="scan_unrolled").astype(jnp.int32)
    ends = jnp.concatenate([jnp.zeros(1, jnp.int32), below, jnp.full(1, ascending.shape[0], jnp.int32)])
    return jnp.diff(ends)


def _tables(advantage: Callable[..., jax.Array], num_rollouts: int) -> tuple[jax.Array, jax.Array]:
    """(A_success [N+1], A_fail [N+1]) over K, float32."""
    success, fail = objectives.binary_form(advantage, num_rollouts)
    return jnp.asarray(success, jnp.float32), jnp.asarray(fail, jnp.float32)


def _expected_weight(advantage: Callable[..., jax.Array], p: jax.Array, num_rollouts: int) -> jax.Array:
    """The exact w(p) at this N: in closed form where the table knows one, else summed over K."""
    if isinstance(advantage, Advantage):
        closed = advantage.objective(num_rollouts)
        if closed is not None:
            name, hyper, factor = closed
            return factor * objectives.weight(name, p, **hyper)
    return objectives.effective_weight(advantage, p, num_rollouts)


def categorical_terms(
    logits: jax.Array,
    labels: jax.Array,
    key: jax.Array,
    num_rollouts: int,
    advantage: Callable[..., jax.Array],
    sampling: str = "counts",
) -> CategoricalTerms:
    """Per-example surrogate losses of N rollouts of softmax(logits) with reward 1 on the label.

    Args:
      logits: [*batch, C].
      labels: [*batch] int.
      key: consumed (unused for `expected`).
      num_rollouts: N, static.
      advantage: a symmetric estimator, an `Advantage` or any such function of rewards [*batch, N].
      sampling: 'counts', 'marginal' or 'expected', see the module.

    Returns:
      Losses and success indicators, [*batch] each.

    Raises:
      ValueError: unknown sampling, N < 1, an estimator that is not symmetric or not defined at this N.
    """
    if sampling not in SAMPLINGS:
        raise ValueError(f"unknown sampling {sampling!r}; allowed: {', '.join(SAMPLINGS)}")
    if num_rollouts < 1:
        raise ValueError(f"categorical_rollouts: got num_rollouts = {num_rollouts}, allowed is >= 1")
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
        coefficient = p * _expected_weight(advantage, p, num_rollouts)
        solved = objectives.pass_at_k(p, num_rollouts)
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
    logits: jax.Array,
    labels: jax.Array,
    key: jax.Array,
    num_rollouts: int,
    advantage: Callable[..., jax.Array],
    sampling: str = "counts",
) -> jax.Array:
    """Mean over the batch of -(1/N) sum_y n_y A_y log pi(y); see `categorical_terms` for the arguments.

    Returns:
      Scalar loss; its gradient is minus the mean policy gradient of the batch.
    """
    return jnp.mean(categorical_terms(logits, labels, key, num_rollouts, advantage, sampling).loss)
