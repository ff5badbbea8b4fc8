"""Drawing of the verifier that errs: exact and measured weight, what training reaches, over the error rates."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.bandit.verifier.verdicts import reach
from experiments.results import band
from experiments.results.drawing import Drawing
from experiments.results.spread import over_seeds
from experiments.results.style import COLOURS, LABELS, from_zero, new_figure, shades

ERRORS = ["false_positive", "false_negative"]


def _error_colours(table: pd.DataFrame) -> dict[tuple[float, float], Any]:
    """A colour for each verifier, dark to light in the order of the table."""
    pairs = list(dict.fromkeys(zip(table.false_positive, table.false_negative, strict=True)))
    return dict(zip(pairs, mpl.colormaps["viridis"](np.linspace(0, 0.9, len(pairs))), strict=True))


def weight_panel(ax: Axes, weights: pd.DataFrame) -> None:
    """Exact weights as lines, measured ones as bars of one standard error."""
    colours = _error_colours(weights)
    ax.set(xscale="log", yscale="log", xlabel="pass rate $p$", ylabel="weight")
    for (a, b), rows in weights.groupby(ERRORS, sort=False):
        ax.plot(rows.pass_rate, rows.weight, color=colours[a, b], label=f"$a={a:g}$, $b={b:g}$")
        band.bars(ax, rows.pass_rate, rows.measured, rows.standard_error, fmt=".", color=colours[a, b], markersize=4)


def final_panel(ax: Axes, table: pd.DataFrame, label: str) -> None:
    """True pass rate at the end over that at the start, of one method: lines noise-free, dots sampled."""
    colours = _error_colours(table)
    for (a, b), rows in table[table.label == label].groupby(ERRORS, sort=False):
        means = rows.groupby(["gradients", "initial"]).final.mean()
        ax.plot(means["expected"].index, means["expected"], color=colours[a, b])
        ax.plot(means["sampled"].index, means["sampled"], ".", color=colours[a, b], markersize=4)
    ax.set(xscale="log", xlabel="initial pass rate", ylabel="pass rate at the end")
    from_zero(ax, 1.03)


def reach_panel(ax: Axes, table: pd.DataFrame) -> None:
    """The initial rate down to which prompts are solved, over the verifiers: lines noise-free, dots sampled."""
    found = reach(table)
    pairs = list(dict.fromkeys(zip(found.false_positive, found.false_negative, strict=True)))
    ax.set_yscale("log")
    for _, rows in found.groupby("label", sort=False):
        name, sizes = rows.method.iloc[0], sorted(found.num_rollouts.dropna().unique())
        size = rows.num_rollouts.iloc[0]
        colour = COLOURS[name] if np.isnan(size) else shades(name, 2)[int(size == sizes[-1])]
        text = "exact ML" if np.isnan(size) else f"{LABELS[name]}, $N={size:.0f}$"
        for gradients, part in rows.groupby("gradients", sort=False):
            mean = over_seeds(part, ERRORS, "reach").set_index(ERRORS).loc[pairs]
            if gradients == "expected":
                ax.plot(np.arange(len(pairs)), mean["mean"], "--" if np.isnan(size) else "-", color=colour, label=text)
            else:
                band.bars(ax, np.arange(len(pairs)), mean["mean"], mean.standard_error, fmt=".", color=colour)
    ax.set_xticks(np.arange(len(pairs)), [f"{a:g}\n{b:g}" for a, b in pairs])
    ax.set(xlabel="$a$ (above), $b$ (below)", ylabel="lowest initial rate solved")


def draw_verifier(weights: pd.DataFrame, table: pd.DataFrame) -> Drawing:
    """Weight over pass rate, final over initial pass rate, and the reach over the verifiers."""
    label = weights.label.iloc[0]
    method = table[table.label == label].method.iloc[0]
    fig, (left, centre, right) = new_figure(1, 3, width="page", aspect=1.1)
    weight_panel(left, weights)
    left.set_title(f"(a) weight of {LABELS[method]}; bars: measured")
    final_panel(centre, table, label)
    centre.set_title("(b) after training; dots: sampled")
    reach_panel(right, table)
    right.set_title("(c) reach; lower is better")
    centre.legend(*left.get_legend_handles_labels(), handlelength=1.0, labelspacing=0.2, loc="center right")
    fig.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return Drawing(fig, pd.concat([weights.assign(part="weight"), table.assign(part="prompts")], ignore_index=True))
