"""The effect of RL on a base in one picture: one try and many tries over steps, pass@k over k, a solved maze."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.lm.tasks import maze_pictures
from experiments.results import overview, policy_curves, style
from experiments.results.drawing import Drawing
from experiments.results.groups import group
from experiments.results.policy_runs import Record
from maxrl_jax.tasks.maze import pictures as drawing

MANY = 32
"""Tries of the second panel."""


def draw(found: Sequence[Record]) -> Drawing:
    """The three panels of `results.overview`, and a maze.

    Args:
        found: runs with an evaluation before RL, some with figures/answers.npz.
    """
    groups = group(found)
    fig, axes = style.new_figure(1, 4, width="page", aspect=1.3)
    with style.settings():
        rows = overview.draw(axes[:3], groups, MANY)
        policy_curves.legend(fig, axes[0], groups)
        _solved_maze(axes[3], [record for one in groups for record in one.runs])
    return Drawing(fig, pd.DataFrame(rows))


def _solved_maze(ax: Axes, found: Sequence[Record]) -> None:
    """The longest right answer among those a run has kept, of the first run that has any."""
    for record in found:
        file = record.folder / "figures" / "answers.npz"
        if file.exists():
            samples = dict(np.load(file))
            row, answers = maze_pictures.right_and_failed(samples)
            drawing.draw_maze(ax, samples["walls"][row])
            outcome = drawing.draw_answer(ax, samples["walls"][row], answers[0])
            ax.set_title(f"{style.LABELS.get(record.method, record.method)}: {outcome}".replace(" (", "\n("))
            return
    ax.set_axis_off()
