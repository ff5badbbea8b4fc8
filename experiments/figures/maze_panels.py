"""What the figures of the maze experiment share: the records they are drawn from, one panel a metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from experiments.figures.registry import Context, Skipped
from experiments.results import maze_runs
from experiments.results.drawing import Drawing
from experiments.results.maze_curves import legend, over_steps
from experiments.results.maze_runs import Record
from experiments.results.style import new_figure


def records(context: Context, keep: Callable[[Record], bool] = lambda record: True, what: str = "") -> list[Record]:
    """The maze runs among the given folders; Skipped when there is none that the figure can use."""
    found = [record for record in maze_runs.find(context.runs) if keep(record)]
    if not found:
        raise Skipped(f"no maze run {what or 'with an evaluation'} in {', '.join(map(str, context.runs))}")
    return found


def panels(context: Context, names: dict[str, Callable[[Record], pd.Series]], found: Sequence[Record]) -> Drawing:
    """One panel a metric over RL steps."""
    columns = min(len(names), 4)
    fig, axes = new_figure(1, columns, width="page" if columns > 1 else "column", aspect=0.9, squeeze=False)
    rows: list[dict] = []
    for ax, (name, values) in zip(axes[0], names.items(), strict=True):
        rows += over_steps(ax, found, values, name)
        ax.set_xlabel("RL step")
        ax.set_title(name)
    legend(fig, axes[0][0])
    return Drawing(fig, pd.DataFrame(rows))
