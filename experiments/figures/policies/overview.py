"""The picture of a study: the effect of RL on a base, every method, over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.figures.policies.panels import records
from experiments.figures.registry import Context, figure
from experiments.lm.tasks import maze_pictures
from experiments.results import policy_curves, style
from experiments.results.drawing import Drawing
from experiments.results.groups import Group, group
from experiments.results.policy_curves import at_the_end, legend, over_steps, pass_at, trained
from experiments.results.policy_runs import Record
from maxrl_jax.lm import evaluation
from maxrl_jax.tasks.maze import pictures


@figure("maze_overview", title="pass@1, pass@32 and pass@k of every method from one base", needs_runs=True)
def maze_overview(context: Context) -> Drawing:
    """As `make demo` draws it; runs with an evaluation before RL and one after it."""
    return mazes(records(context, lambda r: r.task == "maze" and _before_and_after(r), f"of mazes, {_EVALUATED}"))


def mazes(found: Sequence[Record]) -> Drawing:
    """pass@1 and pass@32 over steps, pass@k over k at the end, a solved maze where a run has figures/answers.npz."""
    groups = group(found)
    fig, axes = style.new_figure(1, 4, width="page", aspect=1.3)
    with style.settings():
        rows = _pass_panels(axes[:3], groups, many=32)
        legend(fig, axes[0], groups)
        _solved_maze(axes[3], [record for one in groups for record in one.runs])
    return Drawing(fig, pd.DataFrame(rows))


@figure("words_overview", title="pass@1, pass@64 and pass@k of every method on a fixed training set", needs_runs=True)
def words_overview(context: Context) -> Drawing:
    """Runs on word problems with an evaluation before RL and one after it."""
    groups = group(records(context, lambda r: r.task == "words" and _before_and_after(r), f"of words, {_EVALUATED}"))
    fig, axes = style.new_figure(1, 3, width="page", aspect=0.9)
    rows = _pass_panels(axes, groups, many=64)
    legend(fig, axes[0], groups)
    return Drawing(fig, pd.DataFrame(rows))


@figure("model_overview", title="A real model: reward and answer length over RL steps, pass@k", needs_runs=True)
def model_overview(context: Context) -> Drawing:
    """Runs on reasoning-gym with an evaluation before RL and one after it; grey: the model that RL starts from."""
    found = records(context, lambda r: r.task == "reasoning_gym" and _before_and_after(r), f"on it, {_EVALUATED}")
    groups = group(found)
    fig, axes = style.new_figure(1, 3, width="page", aspect=0.9)
    rows: list[dict] = []
    named = {"reward_mean": "right answers of a batch", "answer_length": "tokens of an answer"}
    for ax, (name, title) in zip(axes, named.items(), strict=False):
        rows += over_steps(ax, groups, trained(name), name)
        style.from_zero(ax)
        ax.locator_params(axis="x", integer=True)
        ax.set(xlabel="RL step", title=title)
    rows += at_the_end(axes[2], groups, evaluation.orders(min(record.num_samples for record in found)))
    legend(fig, axes[2], groups)
    return Drawing(fig, pd.DataFrame(rows))


def _pass_panels(axes: Sequence[Axes], groups: Sequence[Group[Record]], many: int) -> list[dict]:
    """One try and `many` over steps (epochs where every run has a fixed training set), pass@k at the end; grey: base.

    Returns the plotted rows.
    """
    found = [record for one in groups for record in one.runs]
    most = min(record.num_samples for record in found)
    epochs = all(record.epochs_per_step for record in found)
    rows: list[dict] = []
    for ax, k in zip(axes, (1, min(many, most)), strict=False):
        drawn = over_steps(ax, groups, pass_at(k), f"pass@{k}", epochs=epochs)
        policy_curves.levels(ax, found, k)
        least = min(row["mean"] for row in drawn)
        ax.set_ylim(bottom=0.0 if least < 0.8 else np.floor(20 * (least - 0.02)) / 20)
        ax.set_xlabel("epochs of the training set" if epochs else "RL step")
        ax.set_title(f"solved with {k} {'try' if k == 1 else 'tries'}")
        rows += drawn
    rows = [{"epoch" if name == "step" and epochs else name: value for name, value in row.items()} for row in rows]
    return rows + at_the_end(axes[2], groups, evaluation.orders(most))


def _solved_maze(ax: Axes, found: Sequence[Record]) -> None:
    """The longest right answer among those a run has kept, of the first run that has any."""
    for record in found:
        file = record.folder / "figures" / "answers.npz"
        if file.exists():
            samples = dict(np.load(file))
            row, answers = maze_pictures.right_and_failed(samples)
            pictures.draw_maze(ax, samples["walls"][row])
            outcome = pictures.draw_answer(ax, samples["walls"][row], answers[0])
            ax.set_title(f"{style.LABELS.get(record.method, record.method)}: {outcome}".replace(" (", "\n("))
            return
    ax.set_axis_off()


_EVALUATED = "evaluated before and after RL"


def _before_and_after(record: Record) -> bool:
    return len(record.evaluations) > 1
