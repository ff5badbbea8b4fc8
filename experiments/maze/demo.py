"""The main job at a small size, end to end: ``python -m experiments.maze.demo --workdir=DIR``.

A small transformer learns mazes by SFT up to a low pass rate; from that one checkpoint MaxRL, GRPO and RLOO train
with the same seed. Ends in a table and a figure. The same command again continues where it stopped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import configs
from experiments.maze import __main__ as driver
from experiments.maze import pictures
from experiments.maze.checks import check
from experiments.results import maze_curves as curves
from experiments.results import maze_runs, style
from experiments.results.maze_runs import Record
from maxrl_jax.runs import launch
from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import pictures as drawing

METHODS = ("maxrl", "grpo", "rloo")
PASS_AT = (1, 32)


def run(config: Any, workdir: str | os.PathLike) -> pd.DataFrame:
    """SFT once, RL by every method from its checkpoint, the table and the figure; returns the table.

    Args:
      config: a config of configs/maze.py; its estimator is replaced by each method's.
      workdir: holds one run folder for SFT and one a method.
    """
    folder = Path(workdir)
    base = config.copy_and_resolve_references()
    base.rl.steps = 0
    driver.run(base, folder / "sft")
    for method in METHODS:
        settings = config.copy_and_resolve_references()
        settings.rl.advantage.name = method
        settings.sft.steps = 0
        settings.checkpoint.init_from = os.fspath(folder / "sft")
        driver.run(settings, folder / method)
    found = [maze_runs.read(folder / method) for method in METHODS]
    table = summary(found)
    table.to_csv(folder / "summary.csv", index=False)
    draw(found).savefig(folder / "demo.png", dpi=200)
    show(table)
    print(reading(table, config))
    print(f"figure: {folder / 'demo.png'}")
    return table


def summary(found: Sequence[Record]) -> pd.DataFrame:
    """One row for the base and one for each run: held-out pass@k, coverage, shortest answers."""
    rows = []
    for record, step in [(found[0], 0), *((record, max(record.evaluations)) for record in found)]:
        base = step == 0
        seen = record.evaluations[step]
        row: dict[str, Any] = {"method": "base" if base else record.method, "rl_steps": step}
        values = record.pass_curve(PASS_AT, step)
        row |= {f"pass@{k}": float(v) for k, v in zip(PASS_AT, values, strict=True)}
        rows.append(row | {"coverage": seen["coverage"], "shortest": seen["shortest"], "mazes": len(seen["solved"])})
    return pd.DataFrame(rows)


def show(table: pd.DataFrame) -> None:
    """Prints the summary as a table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=f"{table.mazes.iloc[0]} held-out mazes after training, one seed")
    names = ("method", "RL steps", *(f"pass@{k}" for k in PASS_AT), "solved at least once", "shortest, of the solved")
    for name in names:
        shown.add_column(name, justify="left" if name == "method" else "right")
    for _, row in table.iterrows():
        shares = [row[f"pass@{k}"] for k in PASS_AT] + [row.coverage, row.shortest]
        shown.add_row(style.LABELS[row.method], str(row.rl_steps), *(f"{share:.3f}" for share in shares))
    Console(width=None if sys.stdout.isatty() else 120).print(shown)


def reading(table: pd.DataFrame, config: Any) -> str:
    """What a newcomer should take from the table, with its numbers."""
    rows = table.set_index("method")
    base = rows.loc["base"]
    best = {name: rows[name].drop("base").idxmax() for name in (f"pass@{k}" for k in PASS_AT)}
    lines = [
        f"{name}: {style.LABELS[method]} is ahead with {rows[name][method]:.3f} ({base[name]:.3f} at the start)."
        for name, method in best.items()
    ]
    total = maze.count_mazes(config.maze.size)
    lines.append(
        f"There are {total:,} mazes of {config.maze.size} x {config.maze.size}; those evaluated on are in no training"
        " batch. One seed shows a picture, not a proof: results/maze_tiny has three, with their spread."
    )
    return "\n".join(lines)


def draw(found: Sequence[Record]) -> Figure:
    """Held-out pass@k over RL steps, a panel a k, and one maze with a right and a failed answer of the first run."""
    fig, axes = style.new_figure(1, len(PASS_AT) + 2, width="page", aspect=1.25)
    with style.settings():
        for ax, k in zip(axes, PASS_AT, strict=False):
            curves.over_steps(ax, found, curves.pass_at(k), f"pass@{k}")
            ax.set_xlabel("RL step")
            ax.set_title(f"held-out pass@{k}")
        handles, labels = axes[0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower left", ncols=len(labels))
        samples = dict(np.load(found[0].folder / "figures" / "answers.npz"))
        row, answers = pictures.right_and_failed(samples)
        for ax, answer in zip(axes[len(PASS_AT) :], answers, strict=False):
            drawing.draw_maze(ax, samples["walls"][row])
            ax.set_title(drawing.draw_answer(ax, samples["walls"][row], answer))
        for ax in axes[len(PASS_AT) + len(answers) :]:
            ax.set_axis_off()
        fig.supxlabel(f"mazes: {style.LABELS[found[0].method]}, held out", x=0.99, ha="right", fontsize=7)
    return fig


if __name__ == "__main__":
    file = Path(configs.__file__).parent / "maze.py"
    launch.main(run, check, [f"--config={file}:tiny", "--config.wandb.mode=disabled", *sys.argv[1:]])
