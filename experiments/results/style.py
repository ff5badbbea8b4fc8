"""One look for every figure: sizes of a paper's column, colour-blind safe colours, one look for each method."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maxrl_jax.advantages import TABLE

# Inches: one column and the whole page of a two-column paper.
WIDTHS = {"column": 3.4, "page": 7.0}

# Okabe-Ito, which readers with colour-vision deficiency can tell apart, with an indigo in place of its black: axes are
# black, and no curve is. A method keeps its look in all figures, and maze pictures use none of these colours.
PALETTE = {
    "blue": "#0072b2",
    "red": "#d55e00",
    "green": "#009e73",
    "purple": "#cc79a7",
    "yellow": "#d9c21f",
    "sky": "#56b4e9",
    "indigo": "#332288",
    "orange": "#e69f00",
}
_GREY = "#7f7f7f"
_LINES = {"-": "-", "--": (0, (5, 1.5)), "-.": "-.", ":": (0, (1, 1.2))}  # dots so short that lines below show

CYCLE = tuple(PALETTE.values())
"""Colours of lines that are no methods, in this order."""

_OTHERS = {
    "cross_entropy": ("Cross-entropy", PALETTE["indigo"]),
    "ml": ("Maximum likelihood", PALETTE["indigo"]),
    "rl": ("RL", PALETTE["green"]),
    "base": ("Base", _GREY),
}
"""Label and colour of lines beside the estimators'."""


def _looks() -> dict[str, tuple[str, Any, str]]:
    """(colour, line, marker) of every estimator: its row's, or the first colour and line that no row has taken."""
    taken = {name: entry.look.split() for name, entry in TABLE.items() if entry.look}
    pairs = {tuple(look[:2]) for look in taken.values()}
    free = (p for p in itertools.product(_LINES, PALETTE) if p[::-1] not in pairs)
    for name in TABLE:
        if name not in taken:
            line, colour = next(free)
            taken[name] = [colour, line, "."]
    return {name: (PALETTE.get(c, _GREY), _LINES[line], marker) for name, (c, line, marker) in taken.items()}


_LOOKS = _looks()
COLOURS = {name: look[0] for name, look in _LOOKS.items()} | {name: colour for name, (_, colour) in _OTHERS.items()}
MARKERS = {name: look[2] for name, look in _LOOKS.items()}
LABELS = {name: entry.label for name, entry in TABLE.items()} | {name: label for name, (label, _) in _OTHERS.items()}

REFERENCES = ("cross_entropy", "ml")
"""Exact maximum likelihood, which other methods approach until their curves cover it."""

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


def legend(fig: Figure, ax: Axes, columns: int, title: str | None = None) -> None:
    """The legend of one panel below the whole figure."""
    place = {"loc": "outside lower center", "title_fontsize": 7}
    fig.legend(*ax.get_legend_handles_labels(), ncols=columns, title=title, **place)


def from_zero(ax: Axes, top: float | None = None) -> None:
    """The vertical axis from a little below 0 up to ``top`` (default: as drawn), so that no curve at 0 lies on it."""
    high = ax.get_ylim()[1] if top is None else top
    ax.set_ylim(-0.03 * high, high)


def look(name: str) -> dict[str, Any]:
    """Colour, label and line of a method; exact maximum likelihood is dashed, above other lines."""
    return {
        "color": COLOURS.get(name, _GREY),
        "label": LABELS.get(name, name),
        "linestyle": (0, (4, 2)) if name in REFERENCES else _LOOKS[name][1] if name in _LOOKS else "-",
        "zorder": 3 if name in REFERENCES else 2,
    }


def shades(name: str, count: int) -> list[tuple[float, float, float]]:
    """`count` shades of a method's colour, light to full, for a sweep over N or k."""
    base = np.asarray(mpl.colors.to_rgb(COLOURS.get(name, _GREY)))
    return [tuple(1 - (1 - base) * t) for t in np.linspace(0.35, 1, count)]
