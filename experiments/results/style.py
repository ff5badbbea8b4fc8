"""One look for every figure: sizes of a paper's column, colour-blind safe colours, one colour and label a method."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Inches: one column and the whole page of a two-column paper.
WIDTHS = {"column": 3.4, "page": 7.0}

# Okabe-Ito, which readers with colour-vision deficiency can tell apart, with an indigo in place of its black: axes are
# black, and no curve is. A method keeps its colour in all figures, and maze pictures use none of these.
_INDIGO, _ORANGE, _SKY, _GREEN, _YELLOW, _BLUE, _RED, _PURPLE = (
    "#332288",
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#d9c21f",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
)
_GREY = "#7f7f7f"

CYCLE = (_BLUE, _RED, _GREEN, _PURPLE, _YELLOW, _SKY, _INDIGO, _ORANGE)
"""Of lines that are no methods, in this order."""

COLOURS = {
    "maxrl": _RED,
    "maxrl_unbiased": _ORANGE,
    "maxrl_order": _ORANGE,
    "tailrl": _ORANGE,
    "maxrl_likelihood": _SKY,
    "success_mean": _YELLOW,
    "grpo": _BLUE,
    "one_sided_grpo": _SKY,
    "rloo": _GREEN,
    "reinforce": _GREY,
    "mean_baseline": _GREY,
    "pkpo": _PURPLE,
    "expected_improvement": _PURPLE,
    "maxpo": _SKY,
    "ei_leave_one_out": _YELLOW,
    "mixture": _ORANGE,
    "chen": _YELLOW,
    "bagirov": _YELLOW,
    "partitioned": _GREY,
    "differential_smoothing": _YELLOW,
    "self_masked": _INDIGO,
    "cross_entropy": _INDIGO,
    "ml": _INDIGO,
    "rl": _GREEN,
    "base": _GREY,
}

LABELS = {
    "maxrl": "MaxRL",
    "maxrl_unbiased": "MaxRL (eq. 7)",
    "maxrl_order": "MaxRL of order T",
    "tailrl": "TailRL",
    "maxrl_likelihood": "MaxRL of graded rewards",
    "success_mean": "Success mean",
    "grpo": "GRPO",
    "one_sided_grpo": "One-sided GRPO",
    "rloo": "RLOO",
    "reinforce": "REINFORCE, no baseline",
    "mean_baseline": "REINFORCE",  # as in the MaxRL paper, whose REINFORCE subtracts the mean (D.1)
    "pkpo": "PKPO",
    "expected_improvement": "EI",
    "maxpo": "MaxPO (EI + L2O)",
    "ei_leave_one_out": "EI + L1O",
    "mixture": "Mixture",
    "chen": "Chen et al.",
    "bagirov": "Bagirov et al.",
    "partitioned": "Partitioned",
    "differential_smoothing": "Differential smoothing",
    "self_masked": "SELF",
    "cross_entropy": "Cross-entropy",
    "ml": "Maximum likelihood",
    "rl": "RL",
    "base": "Base",
}

REFERENCES = ("cross_entropy", "ml")
"""Exact maximum likelihood, which other methods approach until their curves cover it."""

_DOTTED = dict.fromkeys(("mean_baseline", "reinforce", "maxrl_unbiased"), (0, (1, 1.2)))
"""So that what lies below shows in the gaps."""

_SETTINGS = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "savefig.dpi": 200,
    "svg.fonttype": "none",
    "svg.hashsalt": "maxrl_jax",
}


@contextlib.contextmanager
def settings() -> Iterator[None]:
    """The style, and nothing of the user's own matplotlibrc: whoever draws a figure gets the same one.

    A matplotlibrc with ``text.usetex`` on a machine without LaTeX would otherwise end the drawing.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def new_figure(
    nrows: int = 1, ncols: int = 1, *, width: str = "column", aspect: float = 0.75, **subplot_keywords: Any
) -> tuple[Figure, Any]:
    """A figure of a paper's width and its axes.

    Args:
      nrows: rows of axes.
      ncols: columns of axes.
      width: 'column' or 'page'.
      aspect: height over width of one panel.
      **subplot_keywords: passed to `Figure.subplots`.

    Returns:
      (figure, axes): one Axes for a single panel, otherwise an array as matplotlib gives it.
    """
    inches = WIDTHS[width]
    with settings():
        # Not through pyplot: no global state, nothing to close, usable from threads and notebooks.
        fig = Figure(figsize=(inches, inches / ncols * aspect * nrows), layout="constrained")
        axes = fig.subplots(nrows, ncols, **subplot_keywords)
    return fig, axes


def from_zero(ax: Axes, top: float | None = None) -> None:
    """The vertical axis from a little below 0 up to ``top`` (default: as drawn), so that no curve at 0 lies on it."""
    high = ax.get_ylim()[1] if top is None else top
    ax.set_ylim(-0.03 * high, high)


def look(name: str) -> dict[str, Any]:
    """Colour, label and line of a method; exact maximum likelihood is dashed and on top of what meets it."""
    return {
        "color": COLOURS.get(name, _GREY),
        "label": LABELS.get(name, name),
        "linestyle": (0, (4, 2)) if name in REFERENCES else _DOTTED.get(name, "-"),
        "zorder": 3 if name in REFERENCES else 2,
    }


def shades(name: str, count: int) -> list[tuple[float, float, float]]:
    """`count` shades of a method's colour, light to full, for a sweep over N or k."""
    base = np.asarray(mpl.colors.to_rgb(COLOURS.get(name, _GREY)))
    return [tuple(1 - (1 - base) * t) for t in np.linspace(0.35, 1, count)]
