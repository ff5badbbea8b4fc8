"""max@k from disjoint blocks of k consecutive rollouts: PKPO's Figure 8 baselines. Not permutation-symmetric."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from maxrl_jax.advantages import contracts
from maxrl_jax.advantages.definitions import less_others_mean
from maxrl_jax.advantages.ranks import compute_dtype
from maxrl_jax.advantages.table import Hyper, estimator

KINDS = ("naive", "naive_baseline", "loo_minus_one")


def _limits(num_rollouts: int | None, *, k: int, kind: str) -> None:
    contracts.choice("partitioned", "kind", kind, KINDS)
    method = f"partitioned (kind {kind})"
    low = 2 if kind == "loo_minus_one" else 1
    contracts.count(method, "k", k, low=low, num_rollouts=num_rollouts, below_n=0)
    if num_rollouts is None:
        return
    if num_rollouts % k:
        raise ValueError(f"{method}: got k = {k} with N = {num_rollouts} rollouts, allowed are divisors of N")
    if kind == "naive_baseline":
        contracts.rollouts(method, num_rollouts, at_least=2 * k)


def _settings(num_rollouts: int) -> list[Hyper]:
    divisors = [k for k in range(1, num_rollouts + 1) if num_rollouts % k == 0]
    legal = {"naive": 1, "naive_baseline": 1, "loo_minus_one": 2}
    return [
        {"k": k, "kind": kind}
        for kind, low in legal.items()
        for k in divisors
        if k >= low and not (kind == "naive_baseline" and num_rollouts < 2 * k)
    ]


def _definition(g: np.ndarray, k: int, kind: str) -> np.ndarray:
    blocks = g.reshape(-1, k)
    best = blocks.max(axis=1)
    if kind == "loo_minus_one":
        return np.concatenate([k * (max(b) - np.array([max(np.delete(b, i)) for i in range(k)])) for b in blocks])
    return np.repeat(k * (best if kind == "naive" else less_others_mean(best)), k)


def _max_without_self(blocks: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(max of the block, max of the block without each entry) for blocks [..., k], k >= 2."""
    top, where = jax.lax.top_k(blocks, 2)
    is_top = jnp.arange(blocks.shape[-1]) == where[..., :1]
    return top[..., :1], jnp.where(is_top, top[..., 1:], top[..., :1])


@estimator(
    estimates="grad max@k, unbiased",
    source="PKPO Figure 8; loo_minus_one at k = N is Tang et al. 2503.19595",
    definition=_definition,
    look="grey -. D",
    symmetric=False,
    objective=lambda N, *, k, kind: ("pass_at_k", {"k": k}, 1.0),
    limits=_limits,
    settings=_settings,
)
def partitioned(rewards: Float[Array, "*batch N"], *, k: int, kind: str = "loo_minus_one") -> Float[Array, "*batch N"]:
    """max@k from N/k blocks b of k consecutive rollouts with maxima M_b, unbiased for grad max@k.

    naive: A_i = k M_b; naive_baseline: k (M_b - mean of the other blocks' M); loo_minus_one:
    k (M_b - max of b without i).

    Args:
        rewards: real.
        k: block size, a divisor of N; at least 2 blocks for `naive_baseline`, k >= 2 for `loo_minus_one`.
        kind: 'naive', 'naive_baseline' or 'loo_minus_one'.
    """
    n = rewards.shape[-1]
    blocks = rewards.astype(compute_dtype(rewards.dtype)).reshape(*rewards.shape[:-1], n // k, k)
    if kind == "loo_minus_one":
        best, best_without = _max_without_self(blocks)
        return (k * (best - best_without)).reshape(rewards.shape)
    best = jnp.max(blocks, axis=-1)
    if kind == "naive_baseline":
        # M_b - mean of the others = (M_b - mean) n_b/(n_b - 1), with differences from the smallest maximum
        # so that equal maxima give exactly zero.
        shifted = best - jnp.min(best, axis=-1, keepdims=True)
        best = (shifted - jnp.mean(shifted, axis=-1, keepdims=True)) * ((n // k) / (n // k - 1))
    return jnp.broadcast_to(k * best[..., None], blocks.shape).reshape(rewards.shape)
