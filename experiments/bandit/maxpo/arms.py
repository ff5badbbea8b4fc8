"""The MaxPO bandit: one softmax policy over arms with fixed random rewards (MaxPO section 5.1, appendix G.1).

With scores S_i = onehot(a_i) - pi the gradient estimate of one batch of N actions is

  (1/N) sum_i A_i S_i = (1/N) [ scatter-add of A_i at a_i  -  pi sum_i A_i ],

and its squared norm needs no vector over the arms at all,

  N^2 |ghat|^2 = sum_{i,j: a_i = a_j} A_i A_j - 2 (sum_i A_i) sum_i A_i pi(a_i) + (sum_i A_i)^2 |pi|^2,

so neither an N x arms array nor one gradient per batch is ever stored: batches are streamed through a scan.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments.bandit.prompts.draws import draw_actions
from maxrl_jax.advantages import Estimator

LARGEST_CHUNK = 2**16  # numbers in the N x N comparisons of one chunk of batches


class Arms(NamedTuple):
    """A bandit instance.

    Attributes:
      rewards: [*batch, actions], real.
      logits: [*batch, actions]; -inf pads an instance to a common number of actions.
    """

    rewards: jax.Array
    logits: jax.Array


class Sums(NamedTuple):
    """Running sums over batches, for E estimators on one instance.

    Attributes:
      scattered: [E, actions] sum of A_i / N at a_i.
      total: [E] sum of A_i / N.
      norms: [E] sum of the squared norms of the gradient estimates.
    """

    scattered: jax.Array
    total: jax.Array
    norms: jax.Array


def make_arms(key: jax.Array, num_actions: int, padded_to: int | None = None) -> Arms:
    """Rewards and logits ~ N(0, 1) independently (MaxPO eq. 109); the key is consumed.

    Padded with arms that are never drawn to the length ``padded_to``, so that instances of several sizes stack.
    """
    size = padded_to or num_actions
    reward_key, logit_key = jax.random.split(key)
    real = jnp.arange(size) < num_actions
    rewards = jnp.where(real, jax.random.normal(reward_key, (size,)), 0.0)
    return Arms(rewards, jnp.where(real, jax.random.normal(logit_key, (size,)), -jnp.inf))


def _add_batches(
    sums: Sums, key: jax.Array, arms: Arms, estimators: Sequence[Estimator], num_rollouts: int, num_batches: int
) -> Sums:
    """Draws `num_batches` batches, the same for every estimator, and adds them; the key is consumed."""
    policy = jax.nn.softmax(arms.logits)
    actions = draw_actions(key, arms.logits, num_batches * num_rollouts).reshape(num_batches, num_rollouts)
    rewards = arms.rewards[actions]
    advantages = jnp.stack([estimator(rewards) for estimator in estimators]) / num_rollouts  # [E, B, N]
    total = advantages.sum(-1)
    same = (actions[:, :, None] == actions[:, None, :]).astype(advantages.dtype)
    onehot_part = jnp.einsum("ebi,bij,ebj->eb", advantages, same, advantages)
    cross_part = jnp.einsum("ebi,bi->eb", advantages, policy[actions])
    norms = onehot_part - 2 * total * cross_part + total**2 * jnp.sum(policy**2)
    return Sums(sums.scattered.at[:, actions].add(advantages), sums.total + total.sum(-1), sums.norms + norms.sum(-1))


def _no_batches(arms: Arms, estimators: Sequence[Estimator]) -> Sums:
    count = len(estimators)
    return Sums(jnp.zeros((count, arms.logits.size)), jnp.zeros(count), jnp.zeros(count))


def _gradient(sums: Sums, arms: Arms) -> jax.Array:
    """Sum of the gradient estimates, [E, actions]."""
    return sums.scattered - sums.total[:, None] * jax.nn.softmax(arms.logits)


@functools.partial(jax.jit, static_argnames=("estimators", "num_rollouts", "num_batches", "batches_per_chunk"))
def error_of_mean(
    keys: jax.Array,
    arms: Arms,
    exact: jax.Array,
    *,
    estimators: tuple[Estimator, ...],
    num_rollouts: int,
    num_batches: int,
    batches_per_chunk: int,
) -> jax.Array:
    """|mean of the first M gradient estimates - exact| (MaxPO eq. 110) for every M = chunk, 2 chunk, ...

    Keys (consumed), arms and exact gradients [instances, actions] are stacked over instances; E estimators.

    Returns:
      [instances, num_batches / batches_per_chunk, E].
    """

    def one_instance(key: jax.Array, arms: Arms, exact: jax.Array) -> jax.Array:
        def advance(sums: Sums, index: jax.Array):
            chunk_key = jax.random.fold_in(key, index)
            sums = _add_batches(sums, chunk_key, arms, estimators, num_rollouts, batches_per_chunk)
            mean = _gradient(sums, arms) / (batches_per_chunk * (index + 1.0))
            return sums, jnp.linalg.norm(mean - exact, axis=-1)

        chunks = jnp.arange(num_batches // batches_per_chunk)
        return jax.lax.scan(advance, _no_batches(arms, estimators), chunks)[1]

    return jax.vmap(one_instance)(keys, arms, exact)


@functools.partial(jax.jit, static_argnames=("estimators", "num_rollouts", "num_batches"))
def total_variance(
    keys: jax.Array, arms: Arms, *, estimators: tuple[Estimator, ...], num_rollouts: int, num_batches: int
) -> jax.Array:
    """Trace of the sample covariance of the gradient estimate over M batches, [instances, E].

    By the second-moment identity (MaxPO eq. 112): (sum |ghat|^2 - M |mean|^2) / (M - 1). M >= 2 is rounded up to whole
    chunks of bounded memory; keys are consumed.
    """
    chunk = min(num_batches, max(1, LARGEST_CHUNK // num_rollouts**2))
    num_chunks = -(-num_batches // chunk)

    def one_instance(key: jax.Array, arms: Arms) -> jax.Array:
        def advance(index: jax.Array, sums: Sums) -> Sums:
            chunk_key = jax.random.fold_in(key, index)
            return _add_batches(sums, chunk_key, arms, estimators, num_rollouts, chunk)

        sums = jax.lax.fori_loop(0, num_chunks, advance, _no_batches(arms, estimators))
        count = num_chunks * chunk
        return (sums.norms - jnp.sum(_gradient(sums, arms) ** 2, -1) / count) / (count - 1)

    return jax.vmap(one_instance)(keys, arms)
