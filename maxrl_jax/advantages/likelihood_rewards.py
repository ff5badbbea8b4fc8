"""Rewards in [0, 1] read as probabilities that an answer is accepted: MaxRL averaged over the acceptances.

Accept rollout i with probability g_i, independently, and give the accepted ones reward 1: practical MaxRL of that
binary group, averaged over all 2^N acceptances, is

  A_i = N g_i int_0^1 prod_{j != i} (1 - t g_j) dt  -  (1 - prod_j (1 - g_j))        (docs/theory.md, section 3)

The second term is the mean of the first. Differences to the smallest reward g_m need no subtraction of products,

  D_i = N (g_i - g_m) int_0^1 prod_{j != i, m} (1 - t g_j) dt >= 0,        A_i = D_i - mean(D),

so that the error is a few eps of max_i |A_i|, however close the rewards are. The integrand is a polynomial of degree
N - 2 in t with values in [0, 1]: Gauss-Legendre quadrature with ceil((N-1)/2) nodes is exact, and nothing in it
cancels.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float

from maxrl_jax.advantages.binomial_ratios import WIDE, Table
from maxrl_jax.advantages.definitions import over_acceptances
from maxrl_jax.advantages.likelihood import practical_binary_form, practical_objective
from maxrl_jax.advantages.ranks import compute_dtype
from maxrl_jax.advantages.table import estimator

# Nodes taken at once: larger needs more memory, [*batch, nodes, N]; smaller more steps of a loop.
_NODES_A_STEP = 32


@functools.lru_cache(maxsize=64)
def unit_nodes(num_nodes: int) -> tuple[Table, Table, Table]:
    """Gauss-Legendre on [0, 1]: (t, 1 - t, weights), [steps, nodes a step] each, filled up with nodes of weight 0."""
    x, weights = _legendre_roots(num_nodes)
    t = (1 + x) / 2
    columns = min(num_nodes, _NODES_A_STEP)
    fill = -num_nodes % columns

    def in_steps(values: np.ndarray, filler: float) -> Table:
        return np.pad(values.astype(np.float64), (0, fill), constant_values=filler).reshape(-1, columns)

    # Nodes are symmetric: 1 - t is the mirrored node, without the subtraction.
    return in_steps(t, 0.5), in_steps(t[::-1], 0.5), in_steps(weights / 2, 0.0)


def _legendre_roots(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Roots and weights on [-1, 1] in extended precision: those of scipy, good to 1e-13, after one step of Newton."""
    x = scipy.special.roots_legendre(n)[0].astype(WIDE)
    before, value = np.ones_like(x), x
    for k in range(1, n):
        before, value = value, ((2 * k + 1) * x * value - k * before) / (k + 1)
    slope = n * (before - x * value) / (1 - x**2)
    x = x - value / slope
    # The slope of P_n changes by P_n'' = 2x P_n'/(1-x^2) a unit: it is carried to the new root.
    slope = slope * (1 - 2 * x * (value / slope) / (1 - x**2))
    return x, 2 / ((1 - x**2) * slope**2)


def mean_product_of_others(g: Float[Array, "*batch N"], smallest: Float[Array, "*batch 1"]) -> Float[Array, "*batch N"]:
    """int_0^1 prod_{j != i, m} (1 - t g_j) dt for every i, m one rollout with the smallest reward; N >= 2.

    Products are sums of logarithms: log1p(-t g) while t g <= 1/2, where its error is relative to a small number, and
    log((1-t) + t (1-g)) beyond, where 1 - t g would lose the digits of 1 - t.

    Args:
        g: rewards in [0, 1].
        smallest: the least of them.

    Returns:
        The integrals; the entry at i = m is finite and has no meaning.
    """
    nodes = tuple(jnp.asarray(table, g.dtype) for table in unit_nodes(max(1, g.shape[-1] // 2)))

    def log_rest(t: jax.Array, one_minus_t: jax.Array, g: jax.Array) -> jax.Array:
        small = t * g <= 0.5
        # The branch that is not taken must have a finite derivative too.
        return jnp.where(small, jnp.log1p(-jnp.where(small, t * g, 0)), jnp.log(one_minus_t + t * (1 - g)))

    def add(total: jax.Array, step: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        t, one_minus_t, weights = (values[:, None] for values in step)  # [nodes, 1]
        logs = log_rest(t, one_minus_t, g[..., None, :])  # [*batch, nodes, N]
        product = jnp.exp(jnp.sum(logs, axis=-1, keepdims=True) - logs - log_rest(t, one_minus_t, smallest[..., None]))
        return total + jnp.sum(weights * product, axis=-2), None

    return jax.lax.scan(add, jnp.zeros_like(g), nodes)[0]


@estimator(
    estimates="sum_{k<=N-1} (1/k) grad of 1 - (1 - E[g])^k, order N - 1 of grad log E[g]; unbiased",
    source="docs/theory.md section 3: the mean of maxrl over independent acceptances r_j ~ Bernoulli(g_j)",
    definition=over_acceptances,
    look="sky -- 8",
    label="MaxRL likelihood",
    reward_kind="unit",
    centred=True,
    binary_form=practical_binary_form,
    objective=practical_objective,
)
def maxrl_likelihood(rewards: Float[Array, "*batch N"]) -> Float[Array, "*batch N"]:
    """A_i = N g_i int_0^1 prod_{j != i} (1 - t g_j) dt - (1 - prod_j (1 - g_j)): maxrl averaged over acceptances.

    Rewards are probabilities of being right. The estimate has the expectation of drawing the acceptances and never
    more variance. Binary rewards give maxrl. O(N^2) a group. Traced rewards outside [0, 1] cannot be refused; they
    count as the nearer end, which keeps every result finite.

    Args:
        rewards: in [0, 1].
    """
    g = rewards.astype(compute_dtype(rewards.dtype))
    g = jnp.where(g < 0, 0, jnp.where(g > 1, 1, g))  # derivative 1 at both ends, where clip's is 1/2
    smallest = jnp.min(g, axis=-1, keepdims=True)
    above = (g - smallest) * (mean_product_of_others(g, smallest) * g.shape[-1])
    return above - jnp.mean(above, axis=-1, keepdims=True)
