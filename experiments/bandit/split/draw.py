"""Drawing of the splits: distance to exact ML and what it is made of, and coverage, over N."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from experiments.results import band
from experiments.results.drawing import Drawing
from experiments.results.spread import over_seeds
from experiments.results.style import COLOURS, LABELS, from_zero, new_figure, shades

LINES = {"expected": ":", "prompts": "--", "sampled": "-"}
TEXTS = {
    "expected": "all prompts, no noise",
    "prompts": "$P$ of them, no noise",
    "sampled": "$P \\times N$ drawn",
}


def over_splits(ax: Axes, table: pd.DataFrame, y: str, **line: object) -> None:
    """One column over N with a band of one standard error over seeds."""
    found = over_seeds(table, ["num_rollouts"], y).sort_values("num_rollouts")
    band.band(ax, found.num_rollouts, found["mean"], found.standard_error, **line)


def draw_split(final: pd.DataFrame) -> Drawing:
    """What the largest budget's distance is made of; sampled distance by budget; coverage by method."""
    runs = final[final.num_rollouts.notna()]
    method, largest = runs.method.iloc[0], runs.rollouts_a_step.max()
    fig, (left, centre, right) = new_figure(1, 3, width="page", aspect=0.95)
    own = runs[runs.method == method]
    for kind, line in LINES.items():
        rows = own[(own.rollouts_a_step == largest) & (own.gradients == kind)]
        over_splits(left, rows, "distance_to_ml", color=COLOURS[method], linestyle=line, label=TEXTS[kind])
    left.set(ylabel="nats from exact ML", title=f"(a) {LABELS[method]}, $PN={largest:.0f}$")
    budgets = sorted(own.rollouts_a_step.unique())
    for budget, colour in zip(budgets, shades(method, len(budgets)), strict=True):
        rows = own[(own.rollouts_a_step == budget) & (own.gradients == "sampled")]
        over_splits(centre, rows, "distance_to_ml", color=colour, label=f"$PN={budget:.0f}$")
    centre.set(ylabel="nats from exact ML", title=f"(b) {LABELS[method]}, drawn, by budget")
    for name, rows in runs[(runs.rollouts_a_step == largest) & (runs.gradients == "sampled")].groupby("method"):
        over_splits(right, rows, "pass@32", color=COLOURS[str(name)], label=LABELS[str(name)])
    right.axhline(final[final.method == "ml"]["pass@32"].mean(), color=COLOURS["ml"], linestyle="--", label="exact ML")
    right.set(ylabel="pass@32 at the end", title=f"(c) drawn, $PN={largest:.0f}$")
    for ax in (left, centre, right):
        ax.set_xscale("log", base=2)
        ax.set_xlabel("rollouts of a prompt $N$")
    for ax, corner in ((left, "upper right"), (centre, "upper right"), (right, "lower left")):
        ax.legend(handlelength=1.6, labelspacing=0.2, loc=corner)
    for ax in (left, centre):
        from_zero(ax)
    from_zero(right, 1.03)
    return Drawing(fig, final)
