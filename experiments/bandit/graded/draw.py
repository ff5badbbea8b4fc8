"""Drawing of the graded answers: reward and best answers over steps, over N, and by how rare the best was."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from experiments.results import band
from experiments.results.drawing import Drawing
from experiments.results.spread import over_seeds
from experiments.results.style import COLOURS, LABELS, from_zero, new_figure

EXACT = {
    "log_tails": ("tailrl", "exact $\\int \\log P(g>t)\\,dt$"),
    "log_mean": ("maxrl_likelihood", "exact $\\log E[g]$"),
}
"""Of an objective: the estimator whose colour it shares, and its text."""


def over_steps(ax: Axes, curves: pd.DataFrame, num_rollouts: int, y: str) -> None:
    """Both exact likelihoods dashed, estimators at one N: noise-free as lines, sampled as dots."""
    for name, (colour, text) in EXACT.items():
        rows = curves[curves.method == name].groupby("step")[y].mean()
        ax.plot(rows.index, rows, "--", color=COLOURS[colour], label=text)
    for name, rows in curves[curves.num_rollouts == num_rollouts].groupby("method", sort=False):
        band.seeds(ax, rows[rows.gradients == "expected"], "step", y, color=COLOURS[name], label=LABELS[name])
        drawn = rows[rows.gradients == "sampled"].groupby("step")[y].mean().iloc[4::8]
        ax.plot(drawn.index, drawn, ".", color=COLOURS[name], markersize=4)
    ax.set_xlabel("step")
    from_zero(ax, 1.03)


def over_rollouts(ax: Axes, curves: pd.DataFrame, y: str) -> None:
    """The end of training over N: lines noise-free, dots sampled with the standard error over seeds."""
    end = curves[curves.step == curves.step.max()]
    for name, (colour, _) in EXACT.items():
        ax.axhline(end[end.method == name][y].mean(), linestyle="--", color=COLOURS[colour])
    for name, rows in end[end.num_rollouts.notna()].groupby("method", sort=False):
        exact = over_seeds(rows[rows.gradients == "expected"], ["num_rollouts"], y)
        ax.plot(exact.num_rollouts, exact["mean"], color=COLOURS[name])
        drawn = over_seeds(rows[rows.gradients == "sampled"], ["num_rollouts"], y)
        band.bars(ax, drawn.num_rollouts, drawn["mean"], drawn.standard_error, fmt=".", color=COLOURS[name])
    ax.set_xscale("log", base=2)
    ax.set_xlabel("rollouts $N$")
    from_zero(ax, 1.03)


def draw_graded(curves: pd.DataFrame) -> Drawing:
    """Reward and the chance of a best answer over steps at the largest N, and the latter over N."""
    largest = int(curves.num_rollouts.max())
    fig, (left, centre, right) = new_figure(1, 3, width="page", aspect=0.95)
    over_steps(left, curves, largest, "reward")
    left.set(ylabel="mean reward", title=f"(a) $N={largest}$; dots: sampled")
    over_steps(centre, curves, largest, "best")
    centre.set(ylabel="chance of the best", title=f"(b) $N={largest}$")
    over_rollouts(right, curves, "best")
    right.set(ylabel="chance of the best, end", title="(c) dashed: exact")
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Drawing(fig, curves)
