"""Tables of ratios of binomial coefficients, made once at trace time in extended precision.

No log-gamma: C(n, k) for n = 65,536 has a logarithm near 1e5, so differences of log-gammas leave a relative
error near 1e-3 in float32 and 1e-11 in float64. Products of ratios near one lose nothing.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.float64]
# 80-bit on x86 (64 bits of mantissa); where the platform has no wider type this is float64 and the tables
# are good to about 1e-12 instead of the last bit.
WIDE = np.longdouble


@functools.lru_cache(maxsize=128)
def choose_ratio(n: int, k: int) -> npt.NDArray[np.longdouble]:
    """r[j] = C(j, k) / C(n, k) for j = 0..n (zero for j < k), by r[j-1] = r[j] (j-k)/j from r[n] = 1.

    Args:
        n: 0 <= k <= n.
        k: subset size.

    Returns:
        [n + 1] extended-precision array, read-only.
    """
    if not 0 <= k <= n:
        raise ValueError(f"choose_ratio: got k = {k} with n = {n}, allowed is 0 <= k <= n")
    table = np.zeros(n + 1, WIDE)
    j = np.arange(n, k, -1, dtype=WIDE)
    table[k:] = np.concatenate([np.ones(1, WIDE), np.cumprod((j - k) / j)])[::-1]
    table.setflags(write=False)
    return table


def shifted_ratio(n: int, k: int, size: int, shift: int) -> npt.NDArray[np.longdouble]:
    """[size] array with entry i = C(i - shift, k) / C(n, k), zero where i < shift or k < 0 or i - shift > n."""
    table = np.zeros(size, WIDE)
    if k < 0:
        return table
    ratio = choose_ratio(n, k)
    length = min(n + 1, size - shift)
    table[shift : shift + length] = ratio[:length]
    return table
