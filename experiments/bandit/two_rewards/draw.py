"""Drawing of two rewards: paths in the plane of their chances."""

from __future__ import annotations

import pandas as pd

from experiments.bandit.two_rewards.tasks import KINDS
from experiments.results.drawing import Drawing
from experiments.results.style import COLOURS, LABELS, new_figure


def draw_two_rewards(table: pd.DataFrame) -> Drawing:
    """Paths in the plane of the two rewards, by kind of prompt."""
    ways = list(dict.fromkeys(table.way))
    lines = {"sum": "-", "both": ":", "decoupled": "--", "standard": "-."}
    fig, axes = new_figure(1, 2, width="page", aspect=0.72)
    for ax, kind in zip(axes, KINDS, strict=True):
        for way in ways:
            method, how = way.split(" ")
            mean = table[(table.way == way) & (table.kind == kind)].groupby("step")[["reward 1", "reward 2"]].mean()
            ax.plot(
                mean["reward 1"], mean["reward 2"], lines[how], color=COLOURS[method], label=f"{LABELS[method]}, {how}"
            )
            ax.plot(mean["reward 1"].iloc[-1], mean["reward 2"].iloc[-1], "o", color=COLOURS[method])
        ax.plot(*mean.iloc[0], "k*", markersize=7)
        title = "some answer earns both" if kind == "compatible" else "no answer earns both"
        ax.set(xlabel="chance of reward 1 (rare)", ylabel="chance of reward 2 (common)", title=title)
        ax.set(xlim=(-0.03, 1.03), ylim=(0.35, 1.03))
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return Drawing(fig, table)
