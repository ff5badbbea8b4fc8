"""Brute-force definitions of estimators for one group: numpy float64, by enumerating subsets.

Each row of the table holds its `definition`, made from these; the tests compare the fast function with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise, product

import numpy as np
from jaxtyping import Float

Group = Float[np.ndarray, " N"]


def _over_others(g: Group, k: int, value) -> Group:
    """For each i, the mean of value(i, subset) over the k-subsets of the others."""
    return np.array([np.mean([value(i, s) for s in combinations(np.delete(g, i), k)]) for i in range(len(g))])


def containing(g: Group, k: int) -> Group:
    """G_i: the mean max of the k-subsets that contain i."""
    return _over_others(g, k - 1, lambda i, others: max(g[i], *others, g[i]))


def excluding(g: Group, k: int) -> Group:
    """B_i: the mean max of the k-subsets that do not contain i."""
    return _over_others(g, k, lambda i, others: max(others))


def delta(g: Group, k: int) -> Group:
    """Delta_i^(k) = G_i - B_i."""
    return containing(g, k) - excluding(g, k)


def mixture(g: Group, coefficients: Sequence[float]) -> Group:
    """sum_k c_k k Delta_i^(k)."""
    return np.sum([c * k * delta(g, k) for k, c in enumerate(coefficients, start=1)], axis=0)


def improvement(g: Group, k: int) -> Group:
    """EI_i: the mean over (k-1)-subsets of the others of max(0, g_i - their max); g_i at k = 1."""
    return g if k == 1 else _over_others(g, k - 1, lambda i, others: max(0.0, g[i] - max(others)))


def subset_maxima(g: Group, k: int) -> Float[np.ndarray, " subsets"]:
    """The max of every k-subset."""
    return np.array([max(s) for s in combinations(g, k)])


def less_others_mean(values: Group) -> Group:
    """Each value less the mean of the others."""
    return values - (values.sum() - values) / (len(values) - 1)


def over_spread(values: Group, eps: float, ddof: int = 0) -> Group:
    """Centred values over their standard deviation plus eps, 0 for a constant group."""
    centred = values - values.mean()
    spread = centred.std(ddof=ddof)
    return centred / (spread + eps) if spread > 1e-14 else 0 * centred


def practical_maxrl(r: Group) -> Group:
    """(r - mu) / mu, 0 where nothing succeeds."""
    return (r - r.mean()) / r.mean() if r.any() else 0 * r


def over_thresholds(g: Group) -> Group:
    """Practical maxrl of the binary group 1{g > t}, integrated over the thresholds t."""
    layers = [(high - low) * practical_maxrl((g > low).astype(float)) for low, high in pairwise(np.unique(g))]
    return np.sum(layers, axis=0) if layers else 0 * g


def over_acceptances(g: Group) -> Group:
    """Practical maxrl of acceptances r_j ~ Bernoulli(g_j), averaged over all 2^N of them."""
    r = np.array(list(product((0.0, 1.0), repeat=len(g))))
    probability = np.prod(np.where(r > 0, g, 1 - g), axis=1)
    return probability @ np.array([practical_maxrl(row) for row in r])
