"""Estimators as people run them: exact weights under filters, retries, caps, aggregations and repeated updates.

`docs/practice.md` states the results. All is for binary rewards and numpy float64. A weight w is defined as in
`objectives`: the expected gradient estimate of a prompt with pass rate p is w grad p.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from maxrl_jax import binomial, losses, objectives
from maxrl_jax.advantages import contracts

Rates = Float[np.ndarray, "*batch"]
DROPPED = ("leave_out", "refill", "redraw")


@dataclasses.dataclass(frozen=True)
class Rule:
    """The treatment of a group of rollouts before its gradient is used.

    Attributes:
        keep: ``(K, N) -> bool`` for an array K of successes: which groups are used; all when None.
        dropped: what follows a group that is not kept. 'leave_out': nothing, it counts as a gradient of zero.
            'refill': prompts are drawn until the batch is full, and the batch's mean is over kept groups. 'redraw':
            the same prompt is drawn until its group is kept.
        cap: advantages are clipped to [-cap, cap] when given.
        rounds: a group without a success draws N more rollouts, up to this many rounds in all; the estimator is
            applied to all its rollouts.
        replay: in a group without a success one failure is replaced by a stored success, taken to be a draw from the
            present policy's right answers.
    """

    keep: Callable[[Any, int], Any] | None = None
    dropped: str = "leave_out"
    cap: float | None = None
    rounds: int = 1
    replay: bool = False

    def __post_init__(self) -> None:
        contracts.choice("Rule", "dropped", self.dropped, DROPPED)
        contracts.at_least("Rule", "rounds", self.rounds, 1)
        if self.cap is not None:
            contracts.positive("Rule", "cap", self.cap)
        if (self.rounds > 1) + self.replay + (self.keep is not None) > 1:
            raise ValueError("Rule: got more than one of keep, rounds and replay, allowed is one")


def mixed(num_successes: Any, num_rollouts: int) -> Any:
    """0 < K < N: groups with a signal, as dynamic sampling keeps them."""
    return (num_successes > 0) & (num_successes < num_rollouts)


def solved_once(num_successes: Any, num_rollouts: int) -> Any:
    """K >= 1."""
    return num_successes > 0


def between(low: float, high: float) -> Callable[[Any, int], Any]:
    """low < K/N < high: a filter on the estimated pass rate."""
    return lambda num_successes, num_rollouts: (
        (num_successes > low * num_rollouts) & (num_successes < high * num_rollouts)
    )


class Practice(NamedTuple):
    """An estimator under a rule, at pass rates p.

    Attributes:
        weight: w, with E[gradient estimate] = w grad p for each prompt.
        kept: the chance that a group is kept.
        rollouts: expected rollouts for each group that is used (each group that is drawn, for 'leave_out').
    """

    weight: Rates
    kept: Rates
    rollouts: Rates


def practice(advantage_fn: Callable[..., Any], p: Any, num_rollouts: int, rule: Rule) -> Practice:
    """The exact weight of an estimator at finite N under a rule, and its price in rollouts.

    Scores are independent given which rollouts succeed, with means grad p / p and -grad p / (1-p), so a group of n
    rollouts with K successes that occurs with probability P contributes
    P (1/n) [K A_success / p - (n-K) A_fail / (1-p)] to the weight.

    Args:
        advantage_fn: an `Estimator` or any symmetric function of binary rewards, as for `objectives.effective_weight`.
        p: pass rates, 0 < p < 1; for 'refill' those of all prompts that are drawn, equally often.
        num_rollouts: N, of one round.
        rule: a `Rule`.

    Raises:
        ValueError: a rate that is not inside (0, 1); an estimator that is not symmetric in the rewards.
    """
    rate = np.asarray(p, np.float64)
    if not np.all((rate > 0) & (rate < 1)):
        raise ValueError(f"practice: got p = {p}, allowed are rates inside (0, 1)")
    n = num_rollouts
    counts = np.arange(n + 1)
    mass = np.asarray(binomial.probabilities(rate, n))
    keep = np.ones(n + 1, bool) if rule.keep is None else np.asarray(rule.keep(counts, n), bool)
    kept = mass @ keep
    none = np.exp(n * np.log1p(-rate))  # a round without a success
    rollouts = np.full_like(rate, n)

    def contribution(size: int, chance: np.ndarray) -> np.ndarray:
        """Of groups of this size with 0..N successes, which occur with these probabilities [*batch, N + 1]."""
        success, fail = objectives.binary_form(advantage_fn, size)
        success, fail = success[: n + 1], fail[: n + 1]
        if rule.cap is not None:
            success, fail = np.clip(success, -rule.cap, rule.cap), np.clip(fail, -rule.cap, rule.cap)
        up, down = chance @ (counts * success), chance @ ((size - counts) * fail)
        return (up / rate - down / (1 - rate)) / size

    if rule.replay:
        moved = mass.copy()
        moved[..., 1] += moved[..., 0]
        moved[..., 0] = 0
        return Practice(contribution(n, moved), kept, rollouts)
    if rule.rounds > 1:
        weight = np.zeros_like(rate)
        for made in range(1, rule.rounds + 1):
            chance = mass * none[..., None] ** (made - 1)
            if made < rule.rounds:
                chance[..., 0] = 0  # they go on
            weight = weight + contribution(n * made, chance)
        return Practice(weight, kept, n * (1 - none**rule.rounds) / (1 - none))
    weight = contribution(n, mass * keep)
    share = {"leave_out": np.ones_like(rate), "refill": np.full_like(rate, kept.mean()), "redraw": kept}[rule.dropped]
    return Practice(weight / share, kept, rollouts / share)


def answer_coefficients(
    advantage_fn: Callable[..., Any],
    probabilities: Float[np.ndarray, " A"],
    rewards: Float[np.ndarray, " A"],
    lengths: Float[np.ndarray, " A"],
    num_rollouts: int,
    aggregation: str,
) -> Float[np.ndarray, " A"]:
    """c with E[gradient estimate] = sum_a pi_a c_a S_a, for a policy of A answers with lengths; A^N groups.

    A sequence_sum over a fixed length is sequence_sum over that length: it is not among the aggregations.

    Args:
        advantage_fn: any function ``rewards [*batch, N] -> [*batch, N]``.
        probabilities: pi.
        rewards: of each answer.
        lengths: tokens of each answer.
        num_rollouts: N.
        aggregation: one of `losses.AGGREGATIONS`, over one prompt.
    """
    contracts.choice("answer_coefficients", "aggregation", aggregation, losses.AGGREGATIONS)
    pi, g, lengths = (np.asarray(x, np.float64) for x in (probabilities, rewards, lengths))
    z = np.array(list(itertools.product(range(len(pi)), repeat=num_rollouts)))
    values = np.asarray(advantage_fn(jnp.asarray(g[z])), np.float64)
    if aggregation == "token_mean":
        values = values / lengths[z].mean(axis=1, keepdims=True)
    if aggregation == "sequence_mean":
        values = values / lengths[z]
    chance = np.prod(pi[z], axis=1)
    totals = np.bincount(z.ravel(), (chance[:, None] * values).ravel() / num_rollouts, minlength=len(pi))
    return totals / pi


def reused_weight(
    advantage_fn: Callable[..., Any],
    p: float,
    num_rollouts: int,
    *,
    updates: int,
    learning_rate: float,
    clip_epsilon: float | None = None,
) -> float:
    """E[theta after `updates` steps on one batch - theta] / (learning_rate dp/dtheta) of a two-answer softmax policy.

    p is the sigmoid of theta, and each step is ascent on the loss with old_log_probs (`losses.policy_gradient`). With
    one update it is the effective weight; without clipping and with a small rate, `updates` times that.

    Args:
        advantage_fn: as for `objectives.effective_weight`.
        p: pass rate, 0 < p < 1.
        num_rollouts: N.
        updates: gradient steps on the batch.
        learning_rate: of each step.
        clip_epsilon: PPO's clip range; None for importance weights without clipping.
    """
    n = num_rollouts
    success, fail = objectives.binary_form(advantage_fn, n)
    right = np.arange(n) < np.arange(n + 1)[:, None]  # [N + 1, N]: K successes first
    values = jnp.asarray(np.where(right, success[:, None], fail[:, None]))
    start = float(np.log(p) - np.log1p(-p))

    def log_probs(theta: jax.Array, right: jax.Array) -> jax.Array:
        return jax.nn.log_sigmoid(jnp.where(right, theta, -theta))[:, None]

    def loss(theta: jax.Array, right: jax.Array, values: jax.Array) -> jax.Array:
        now, old = log_probs(theta, right), log_probs(jnp.asarray(start), right)
        return losses.policy_gradient(now, jnp.ones_like(now, bool), values, "sequence_sum", old, clip_epsilon)

    theta = jnp.full(n + 1, start)
    for _ in range(updates):
        theta = theta - learning_rate * jax.vmap(jax.grad(loss))(theta, jnp.asarray(right), values)
    moved = np.asarray(theta, np.float64) - start
    return float(np.asarray(binomial.probabilities(p, n)) @ moved / (learning_rate * p * (1 - p)))
