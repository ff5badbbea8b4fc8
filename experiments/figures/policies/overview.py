"""The picture of a study: every method from one base, over seeds."""

import pandas as pd

from experiments.figures.policies.panels import records
from experiments.figures.registry import Context, figure
from experiments.maze import overview as maze
from experiments.results import overview, style
from experiments.results.drawing import Drawing
from experiments.results.groups import group
from experiments.results.policy_curves import legend, over_steps, trained
from experiments.results.policy_runs import Record
from maxrl_jax.lm import evaluation


@figure("maze_overview", title="pass@1, pass@32 and pass@k of every method from one base", needs_runs=True)
def maze_overview(context: Context) -> Drawing:
    """As `make demo` draws it; runs with an evaluation before RL and one after it."""
    return maze.draw(records(context, lambda r: r.task == "maze" and _before_and_after(r), f"of mazes, {_EVALUATED}"))


@figure("words_overview", title="pass@1, pass@64 and pass@k of every method on a fixed training set", needs_runs=True)
def words_overview(context: Context) -> Drawing:
    """Runs on word problems with an evaluation before RL and one after it."""
    groups = group(records(context, lambda r: r.task == "words" and _before_and_after(r), f"of words, {_EVALUATED}"))
    fig, axes = style.new_figure(1, 3, width="page", aspect=0.9)
    rows = overview.draw(axes, groups, many=64)
    legend(fig, axes[0], groups)
    return Drawing(fig, pd.DataFrame(rows))


@figure("model_overview", title="A real model: reward and answer length over RL steps, pass@k", needs_runs=True)
def model_overview(context: Context) -> Drawing:
    """Runs on reasoning-gym with an evaluation before RL and one after it; grey: the model that RL starts from."""
    found = records(context, lambda r: r.task == "reasoning_gym" and _before_and_after(r), f"on it, {_EVALUATED}")
    groups = group(found)
    fig, axes = style.new_figure(1, 3, width="page", aspect=0.9)
    rows: list[dict] = []
    for ax, name, title in zip(
        axes, ("reward_mean", "answer_length"), ("right answers of a batch", "tokens of an answer"), strict=False
    ):
        rows += over_steps(ax, groups, trained(name), name)
        style.from_zero(ax)
        ax.set_xlabel("RL step")
        ax.set_title(title)
    rows += overview.over_k(axes[2], groups, evaluation.orders(min(record.num_samples for record in found)))
    legend(fig, axes[2], groups)
    return Drawing(fig, pd.DataFrame(rows))


_EVALUATED = "evaluated before and after RL"


def _before_and_after(record: Record) -> bool:
    return len(record.evaluations) > 1
