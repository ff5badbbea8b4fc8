"""What RL does to a base, in one picture: a single try and many tries over steps, pass@k over k, a solved maze."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.maze import pictures
from experiments.results import maze_curves, maze_runs, style
from experiments.results.band import band
from experiments.results.drawing import Drawing
from experiments.results.maze_runs import Record
from experiments.results.spread import Spread, spread
from maxrl_jax.lm import evaluation
from maxrl_jax.tasks.maze import pictures as drawing

PASS_AT = (1, 32)
"""The k of the first two panels."""


def draw(found: Sequence[Record]) -> Drawing:
    """Mean over seeds, a band of one standard error; grey is the base that RL starts from, the mean of the runs' own.

    Args:
        found: runs with an evaluation before RL, some with figures/answers.npz.
    """
    found = sorted(found, key=lambda record: record.method != "maxrl")  # first in the legend, and its maze
    fig, axes = style.new_figure(1, 4, width="page", aspect=1.3)
    most = min(record.num_samples for record in found)
    rows: list[dict] = []
    with style.settings():
        for ax, k in zip(axes, PASS_AT, strict=False):
            k = min(k, most)
            rows += maze_curves.over_steps(ax, found, maze_curves.pass_at(k), f"pass@{k}")
            ax.axhline(_base(found, [k]).mean, **maze_curves.look("base"))
            ax.set_xlabel("RL step")
            ax.set_ylim(bottom=0)
            ax.set_title(f"solved with {k} {'try' if k == 1 else 'tries'}")
        rows += _over_k(axes[2], found, evaluation.orders(most))
        handles, labels = axes[0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower left", ncols=len(labels))
        _solved_maze(axes[3], found)
    return Drawing(fig, pd.DataFrame(rows))


def _base(found: Sequence[Record], ks: Sequence[int]) -> Spread:
    """pass@k before RL, over the seeds: runs of one seed share their base."""
    bases = {record.config.get("seed"): record.pass_curve(ks, min(record.evaluations)) for record in found}
    return spread(np.stack(list(bases.values())))


def _over_k(ax: Axes, found: Sequence[Record], ks: Sequence[int]) -> list[dict]:
    """pass@k at the end over k, and the base's."""
    ax.set_xscale("log", base=2)
    curves = {"base": _base(found, ks)}
    for method, records in maze_runs.groups(found).items():
        curves[method] = spread(np.stack([record.pass_curve(ks) for record in records]))
    rows = []
    for method, (mean, error, runs) in curves.items():
        band(ax, ks, mean, error, **maze_curves.look(method))
        rows += [
            {"metric": f"pass@{k} at the end", "method": method, "mean": m, "standard_error": e, "runs": n}
            for k, m, e, n in zip(ks, mean, error, np.broadcast_to(runs, len(ks)), strict=True)
        ]
    ax.set_xlabel("tries k")
    ax.set_ylim(bottom=0)
    ax.set_title("at the end: pass@k")
    return rows


def _solved_maze(ax: Axes, found: Sequence[Record]) -> None:
    """The longest right answer among those a run has kept, of the first run that has any."""
    for record in found:
        file = record.folder / "figures" / "answers.npz"
        if file.exists():
            samples = dict(np.load(file))
            row, answers = pictures.right_and_failed(samples)
            drawing.draw_maze(ax, samples["walls"][row])
            outcome = drawing.draw_answer(ax, samples["walls"][row], answers[0])
            ax.set_title(f"{style.LABELS.get(record.method, record.method)}: {outcome}")
            return
    ax.set_axis_off()
