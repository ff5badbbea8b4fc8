"""Shared by the figures of policies: the records they are drawn from, one panel a metric."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from experiments.figures.registry import Context, Skipped
from experiments.results import policy_runs
from experiments.results.drawing import Drawing
from experiments.results.groups import group
from experiments.results.policy_curves import Values, blind_level, legend, over_steps, pass_at
from experiments.results.policy_runs import Record
from experiments.results.published import published
from experiments.results.style import new_figure


def records(context: Context, keep: Callable[[Record], bool] = lambda record: True, what: str = "") -> list[Record]:
    """The runs of policies among the given folders that a figure can use, all of one task: the first one's.

    Args:
        context: of the figure.
        keep: whether the figure can use a run.
        what: the condition of `keep` in words.

    Raises:
        Skipped: there is none.
    """
    found = [record for record in policy_runs.find(context.runs) if keep(record)]
    if not found:
        raise Skipped(f"no run {what or 'with an evaluation'} in {', '.join(map(str, context.runs))}")
    others = dict.fromkeys(record.task for record in found if record.task != found[0].task)
    if others:
        print(
            f"of {len(others) + 1} tasks in --runs {found[0].task} is drawn, not {', '.join(others)}", file=sys.stderr
        )
    return [record for record in found if record.task == found[0].task]


def published_at_17(found: Sequence[Record], where: str) -> pd.DataFrame:
    """The published numbers of mazes, which are of 17 x 17; none for runs of another size or task.

    Args:
        found: the runs to stand beside.
        where: part of the figure's or table's name.
    """
    table = published("maze", where)
    return table if all(r.task == "maze" and r.config["maze"]["size"] == 17 for r in found) else table[:0]


def panels(
    names: Mapping[str, Values], found: Sequence[Record], *, smooth: bool = False, levels: Sequence[int] = ()
) -> Drawing:
    """One panel a metric over RL steps; in mazes with a blind walker's pass@k for each k of `levels`, a panel each."""
    groups = group(found)
    columns = min(len(names), 4)
    fig, axes = new_figure(1, columns, width="page" if columns > 1 else "column", aspect=0.9, squeeze=False)
    rows: list[dict] = []
    for ax, (name, values) in zip(axes[0], names.items(), strict=True):
        rows += over_steps(ax, groups, values, name, smooth=smooth)
        ax.set_xlabel("RL step")
        ax.set_title(name)
    for ax, k in zip(axes[0], levels, strict=False):
        rows += blind_level(ax, found, k)
    legend(fig, axes[0, 0], groups)
    return Drawing(fig, pd.DataFrame(rows))


def coverage(found: Sequence[Record], ks: Sequence[int]) -> Drawing:
    """`panels` of held-out pass@k."""
    return panels({f"pass@{k}": pass_at(k) for k in ks}, found, levels=ks)
