"""The gap form: one mechanism for the whole centred family, O(N log N) whatever the order.

Sort the rewards ascending, gap_j = g_(j+1) - g_(j). Any coefficients c_k on max@k give, with a_k = k c_k,

  H(m) =  sum_k a_k C(m, k) / C(N-1, k)
  D(j) = -sum_k a_k [C(j-1, k-1) / C(N-1, k-1)] (N-j)/(N-k)
  A_(i) = sum_{j<i} H(j) gap_j + sum_{j>=i} D(j) gap_j                  (docs/theory.md, section 4)

and sum_i A_i = 0 in every batch. With c_k >= 0, H >= 0 >= D and gaps are >= 0, so nothing cancels inside either
sum and the error is a few eps of max_i |A_i| (with coefficients of both signs: of sum_k |c_k| k max_i |Delta_i^(k)|);
equal rewards have gaps of exactly zero.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from maxrl_jax.advantages import ranks
from maxrl_jax.advantages.binomial_ratios import WIDE, Table, choose_ratio


class GapTables(NamedTuple):
    """Weights of the gaps, float64 [N + 1], indexed by j = number of rewards at or below the gap.

    Attributes:
        below: H(j), the weight of gap j for a rollout above it.
        above: D(j), the weight of gap j for a rollout below it.
    """

    below: Table
    above: Table


def _tables(below: np.ndarray, above: np.ndarray) -> GapTables:
    tables = GapTables(below.astype(np.float64), above.astype(np.float64))
    for table in tables:
        table.setflags(write=False)
    return tables


def _single_order(num_rollouts: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """H and D of Delta^(k) in extended precision, [N + 1] each."""
    n = num_rollouts
    below = np.zeros(n + 1, WIDE)
    below[:n] = choose_ratio(n - 1, k)
    j = np.arange(1, n + 1, dtype=WIDE)
    above = np.zeros(n + 1, WIDE)
    above[1:] = -choose_ratio(n - 1, k - 1) * ((n - j) / (n - k))
    return below, above


# Ratios below this are left out of a mixture's tables: no float64 result can tell them from zero, and most of
# the table is below it at large k.
_NEGLIGIBLE = 1e-60


@functools.lru_cache(maxsize=64)
def mixture_tables(num_rollouts: int, coefficients: tuple[float, ...]) -> GapTables:
    """Tables of sum_k c_k k Delta^(k), coefficients c_1..c_T with T <= N - 1; at most O(N T), once per trace.

    Carries r_k(j) = C(j, k) / C(N-1, k) from order to order by r_k(j) = r_{k-1}(j) (j-k+1)/(N-k), over the
    window of j where it is not negligible.
    """
    n = num_rollouts
    j = np.arange(n, dtype=WIDE)
    ratio = np.ones(n, WIDE)
    below = np.zeros(n + 1, WIDE)
    above = np.zeros(n + 1, WIDE)
    low = 0
    for k, c in enumerate(coefficients, start=1):
        a_k = k * WIDE(c)
        if c:
            above[low + 1 :] -= a_k / (n - k) * ratio[low:] * (n - 1 - j[low:])
        ratio[low:] *= (j[low:] - (k - 1)) / (n - k)
        low += int(np.searchsorted(ratio[low:], _NEGLIGIBLE))
        if c:
            below[low:n] += a_k * ratio[low:]
    return _tables(below, above)


@functools.lru_cache(maxsize=64)
def max_at_k_tables(num_rollouts: int, k: int) -> GapTables:
    """Tables of k Delta^(k): the canonical centred advantage for max@k (MaxPO section 4)."""
    below, above = _single_order(num_rollouts, k)
    return _tables(k * below, k * above)


@functools.lru_cache(maxsize=64)
def harmonic_tables(num_rollouts: int, order: int) -> GapTables:
    """Tables of sum_{k=1..T} Delta^(k) in closed form, O(N) whatever T is.

    D(j) = C(N-1-K, T) / C(N-1, T) - 1 with K = N - j, which is expm1(sum_{i=j}^{N-1} log1p(-T/i)) for j > T;
    H(m) = (N/(N-m)) (1 - C(m, T+1)/C(N, T+1)) - 1, with the ratio again as a sum of log1p.
    """
    n, t = num_rollouts, order
    j = np.arange(n + 1, dtype=WIDE)

    def log_ratio(top: int, k: int) -> np.ndarray:
        """log[C(j, k) / C(top, k)] at j = 0..top for j >= k, -inf below: sum_{i=j+1}^{top} log1p(-k/i)."""
        out = np.full(top + 1, -np.inf, WIDE)
        terms = np.log1p(-k / np.arange(top, k, -1, dtype=WIDE))
        out[k:] = np.concatenate([np.zeros(1, WIDE), np.cumsum(terms)])[::-1]
        return out

    above = np.zeros(n + 1, WIDE)
    above[1:] = np.expm1(log_ratio(n - 1, t))  # C(j-1, T) / C(N-1, T) - 1
    above[0] = -1
    below = np.zeros(n + 1, WIDE)
    missing = -np.expm1(log_ratio(n, t + 1))  # 1 - C(m, T+1)/C(N, T+1)
    low = j[:n] <= t
    # m <= T: N/(N-m) - 1 = m/(N-m) without the subtraction.
    below[:n] = np.where(low, j[:n] / (n - j[:n]), n / (n - j[:n]) * missing[:n] - 1)
    return _tables(below, above)


def apply_gap_form(rewards: Float[Array, "*batch N"], tables: GapTables) -> Float[Array, "*batch N"]:
    """Advantages of `rewards` under the gap weights; dtype of the computation."""
    dtype = ranks.compute_dtype(rewards.dtype)
    n = rewards.shape[-1]

    def values(ascending: jax.Array) -> jax.Array:
        gaps = jnp.diff(ascending.astype(dtype), axis=-1)
        lower = ranks.sum_below(jnp.asarray(tables.below[1:n], dtype) * gaps)
        upper = ranks.sum_from(jnp.asarray(tables.above[1:n], dtype) * gaps)
        return lower + upper

    return ranks.by_rank(rewards, values)


def binary_form_of(tables: GapTables, num_successes, num_rollouts: int):
    """(A_success, A_fail) for K successes: the only gap lies above the N - K failures."""
    return lookup(tables.below[::-1], num_successes), lookup(tables.above[::-1], num_successes)


def lookup(table: Table, num_successes):
    """table[K] for concrete K (float64) or traced K (gathered on the device in the default float type)."""
    if isinstance(num_successes, jax.Array):
        return jnp.asarray(table)[num_successes.astype(jnp.int32)]
    return table[np.asarray(num_successes, np.int64)]
