"""Binomial probabilities that keep their relative accuracy in float32, for numpy and for traced arrays alike.

log Bin(m; n, p) by Loader's saddle-point form (C. Loader, 'Fast and accurate computation of binomial
probabilities', 2000): the large terms of log C(n, m) + m log p + (n-m) log(1-p) cancel on paper, so that what
is left is small wherever the probability is not.
"""

from __future__ import annotations

import functools
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax.typing import ArrayLike
from jaxtyping import Array, Float


def namespace(*arrays: Any) -> types.ModuleType:
    """jax.numpy when any argument is a jax array (traced or not), else numpy in float64."""
    return jnp if any(isinstance(a, jax.Array) for a in arrays) else np


def as_float(value: Any, xp: types.ModuleType) -> Any:
    """`value` as a float array of the namespace: float64 in numpy, the array's own width (>= 32) in jax."""
    if xp is np:
        return np.asarray(value, np.float64)
    array = jnp.asarray(value)
    wide = array.dtype in (jnp.float32, jnp.float64)
    return array if wide else array.astype(jnp.float32)


@functools.lru_cache(maxsize=64)
def _stirling_error(n: int) -> np.ndarray:
    """log m! - [m log m - m + log(2 pi m)/2] for m = 0..n (0 at m = 0)."""
    m = np.arange(n + 1, dtype=np.float64)
    safe = np.maximum(m, 1)
    series = (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / safe**2) / safe**2) / safe**2) / safe**2) / safe
    exact = scipy.special.gammaln(safe + 1) - (safe * np.log(safe) - safe + 0.5 * np.log(2 * np.pi * safe))
    return np.where(m < 16, np.where(m > 0, exact, 0), series)


def _deviance(x: Any, mean: Any, xp: types.ModuleType) -> Any:
    """x log(x/mean) + mean - x >= 0 for x, mean > 0, by a series where x is close to the mean."""
    difference = x - mean
    v = difference / (x + mean)
    # 2x atanh-series: x log(x/mean) = x (2v + 2v^3/3 + ...), which cancels `difference` to first order.
    series = difference * v
    power = 2 * x * v
    for j in range(1, 8):
        power = power * v * v
        series = series + power / (2 * j + 1)
    direct = x * xp.log(x / mean) - difference
    return xp.where(xp.abs(v) < 0.1, series, direct)


def probabilities(
    p: Float[ArrayLike, "*batch"], n: int
) -> Float[np.ndarray, "*batch {n}+1"] | Float[Array, "*batch {n}+1"]:
    """Bin(m; n, p) for m = 0..n.

    Args:
        p: success probability in [0, 1]; numpy or Python numbers are computed in float64.
        n: number of trials, >= 0.

    Returns:
        The probabilities, exact at p = 0 and p = 1.
    """
    xp = namespace(p)
    rate = as_float(p, xp)[..., None]
    if n == 0:
        return xp.ones_like(rate)
    m = np.arange(n + 1)
    inside = (m > 0) & (m < n)
    successes = np.where(inside, m, 1).astype(np.float64)
    failures = np.where(inside, n - m, 1).astype(np.float64)
    constant = _stirling_error(n)[n] - _stirling_error(n)[m] - _stirling_error(n)[n - m]
    constant = constant + 0.5 * np.log(n / (2 * np.pi * successes * failures))
    interior = (rate > 0) & (rate < 1)
    q = xp.where(interior, 1 - rate, 0.5)
    safe_p = xp.where(interior, rate, 0.5)
    as_p = functools.partial(xp.asarray, dtype=rate.dtype)
    exponent = (
        as_p(np.where(inside, constant, 0))
        - _deviance(as_p(successes), n * safe_p, xp)
        - _deviance(as_p(failures), n * q, xp)
    )
    middle = xp.exp(exponent)
    none = xp.exp(n * xp.log1p(-safe_p))
    every = xp.exp(n * xp.log(safe_p))
    mass = xp.where(as_p(m) == 0, none, xp.where(as_p(m) == n, every, middle))
    at_edge = xp.where(rate >= 1, as_p(m == n), as_p(m == 0))
    return xp.where(interior, mass, at_edge)
