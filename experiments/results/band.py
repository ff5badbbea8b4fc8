"""A curve with its spread: the mean as a line, a band (or bars) of one standard error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from experiments.results.spread import over_seeds

OPACITY = 0.2
_LOWEST = 0.1  # on a logarithmic axis the band ends at this share of the mean


def band(ax: Axes, x: ArrayLike, mean: ArrayLike, error: ArrayLike, **line: Any) -> None:
    """Draws mean over x, and mean ± error as a band where there is an error (`spread`: none for one seed).

    Args:
        ax: its scale must be set already: on a logarithmic one the band stays above 0.
        x: [n].
        mean: [n].
        error: [n] standard errors, NaN for none.
        **line: of `Axes.plot`; ``color`` is the band's colour too.
    """
    x, mean, error = (np.asarray(values, np.float64) for values in (x, mean, error))
    (drawn,) = ax.plot(x, mean, **line)
    if not np.isfinite(error).any():
        return
    low, high = edges(mean, error, log=ax.get_yscale() == "log")
    ax.fill_between(x, low, high, color=drawn.get_color(), alpha=OPACITY, linewidth=0)


def edges(mean: ArrayLike, error: ArrayLike, *, log: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where a band begins and ends: mean ± error; where its axis is logarithmic it stays above 0, as the mean does.

    Args:
        mean: [n].
        error: [n] standard errors, NaN for none.
        log: whether the axis is logarithmic.

    Returns:
        low [n] and high [n], NaN where there is no error.
    """
    mean, error = np.asarray(mean, np.float64), np.asarray(error, np.float64)
    return np.maximum(mean - error, _LOWEST * mean) if log else mean - error, mean + error


def bars(ax: Axes, x: ArrayLike, mean: ArrayLike, error: ArrayLike, **line: Any) -> None:
    """`band` for few points: marks, with an error bar where there is an error; without any no bar in the legend."""
    if np.isfinite(np.asarray(error, np.float64)).any():
        ax.errorbar(x, mean, error, capsize=2, elinewidth=0.8, **line)
    else:
        ax.plot(x, mean, **line)


def apart(count: int) -> NDArray[np.float64]:
    """Factors close to 1 for the x of ``count`` lines of bars on a logarithmic axis, so that all are seen at one x."""
    return 2 ** np.linspace(-0.06, 0.06, count) if count > 1 else np.ones(count)


def seeds(ax: Axes, table: pd.DataFrame, x: str, y: str, **line: Any) -> None:
    """`band` of one column of a table over another, rows of one x being seeds."""
    found = over_seeds(table, [x], y).sort_values(x)
    band(ax, found[x], found["mean"], found.standard_error, **line)
