"""Mean and standard error over seeds, the only spread that tables and figures tell.

The standard error is the sample standard deviation (ddof 1) over sqrt(n). **One seed has none: it is NaN**, not 0,
since a single run says nothing about how far another would be; plots then have no band and texts no "±".
A seed whose value is NaN (nothing to measure at that step) is left out and not counted in n.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray


class Spread(NamedTuple):
    """Over n values, NaN left out.

    Attributes:
        mean: NaN where n = 0.
        error: standard error; NaN where n < 2.
        count: n.
    """

    mean: NDArray[np.float64]
    error: NDArray[np.float64]
    count: NDArray[np.int64]


def spread(values: ArrayLike, axis: int = 0) -> Spread:
    """Mean, standard error and n along an axis (the seeds), each without that axis.

    Example:
        >>> mean, error, count = spread([1.0, 3.0])
        >>> float(mean), float(error), int(count)
        (2.0, 1.0, 2)
    """
    rows = np.moveaxis(np.asarray(values, np.float64), axis, 0)
    table = pd.DataFrame(rows.reshape(len(rows), -1))
    with np.errstate(invalid="ignore"):  # of an infinite value: its mean is infinite, its error NaN
        found = (table.mean(), table.sem(ddof=1), table.count())
    return Spread(*(column.to_numpy().reshape(rows.shape[1:]) for column in found))


def over_seeds(table: pd.DataFrame, by: Sequence[str], value: str = "value") -> pd.DataFrame:
    """`spread` of one column for each combination of others: columns ``by``, mean, standard_error, n."""
    groups = table.groupby(list(by), sort=False)[value]
    return groups.agg(mean="mean", standard_error="sem", n="count").reset_index()


def with_error(mean: float, error: float, digits: int = 3) -> str:
    """``0.123 ± 0.004``, or the mean alone where there is no error."""
    return f"{mean:.{digits}f}" + ("" if np.isnan(error) else f" ± {error:.{digits}f}")
