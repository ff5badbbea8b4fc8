"""The figure of supervised fine-tuning: its loss and the policy's pass@1 during it."""

from __future__ import annotations

import itertools

import pandas as pd
from matplotlib.ticker import LogLocator, NullLocator

from experiments.figures.registry import Context, Skipped, figure
from experiments.results import folders, policy_curves, style
from experiments.results.drawing import Drawing
from experiments.results.policy_runs import Record


@figure("sft_curve", title="SFT: the loss, and held-out pass@1 during it", needs_runs=True)
def sft_curve(context: Context) -> Drawing:
    """One line a run, over the problems it has seen, which runs of other batch sizes share."""
    tables = [(run, run.table("sft")) for run in folders.find(context.runs, kind=Record)]
    found = [(run, table) for run, table in tables if {"loss", "pass@1"} <= set(table)]
    if not found:
        raise Skipped("no run that was evaluated during its SFT (sft.eval_every_steps)")
    fig, axes = style.new_figure(1, 2, width="page", aspect=0.6)
    rows: list[dict] = []
    for (run, table), colour in zip(found, itertools.cycle(style.CYCLE), strict=False):
        table.index *= run.config["sft"]["batch_size"]
        curves = {"loss": policy_curves.windows(table["loss"].dropna()), "pass@1": table["pass@1"].dropna()}
        for ax, (name, values) in zip(axes, curves.items(), strict=True):
            ax.plot(values.index, values, color=colour, label=run.name, marker="o" if name == "pass@1" else "")
            rows += [{"run": run.name, "metric": name, "problems": x, "value": y} for x, y in values.items()]
    axes[0].set_title("loss (nats a token)")
    axes[0].set_yscale("log")
    axes[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes[0].yaxis.set_major_formatter("{x:g}")
    axes[0].yaxis.set_minor_locator(NullLocator())
    axes[1].set_title("held-out pass@1")
    style.from_zero(axes[1])
    if all("maze" in run.config for run, _ in found):
        rows += policy_curves.blind_level(axes[1], [run for run, _ in found], 1)
    for ax in axes:
        ax.set_xlabel("problems seen")
    policy_curves.legend(fig, axes[1])
    return Drawing(fig, pd.DataFrame(rows))
