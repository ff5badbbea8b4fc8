"""What the figures of the maze experiment share: records of runs, one look a method, curves over RL steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from experiments.figures.registry import Context, Drawing, Skipped
from experiments.figures.style import COLOURS, LABELS, new_figure
from experiments.maze import analysis
from experiments.maze.analysis import Record


def records(context: Context, keep: Callable[[Record], bool] = lambda record: True, what: str = "") -> list[Record]:
    """The maze runs among the given folders; Skipped when there is none that the figure can use."""
    found = [record for record in analysis.find(context.runs) if keep(record)]
    if not found:
        raise Skipped(f"no maze run {what or 'with an evaluation'} in {', '.join(map(str, context.runs))}")
    return found


def look(method: str) -> dict[str, Any]:
    """Colour and label of a method, hyper-parameters in the label."""
    base, _, k = method.removesuffix("_entropy").partition("_k")
    label = LABELS.get(base, base) + (f", k={k}" if k.isdigit() else "")
    entropy = method.endswith("_entropy")
    return {
        "color": COLOURS.get(base, "#7f7f7f"),
        "label": label + (" + entropy" if entropy else ""),
        "linestyle": "--" if entropy else "-",
    }


def over_steps(ax: Axes, found: Sequence[Record], values: Callable[[Record], pd.Series], name: str) -> list[dict]:
    """One line a method: the mean over its runs, a band of one standard error; returns the plotted rows."""
    rows = []
    for method, runs in analysis.groups(found).items():
        table = pd.concat([values(record) for record in runs], axis=1)
        mean, error = table.mean(axis=1), table.sem(axis=1)
        ax.plot(mean.index, mean, **look(method))
        if len(runs) > 1:
            ax.fill_between(mean.index, mean - error, mean + error, color=look(method)["color"], alpha=0.2, lw=0)
        rows += [
            {"metric": name, "method": method, "step": s, "mean": m, "standard_error": e, "runs": len(runs)}
            for s, m, e in zip(mean.index, mean, error, strict=True)
        ]
    return rows


def pass_at(k: int) -> Callable[[Record], pd.Series]:
    """pass@k at every evaluation, indexed by step."""
    return lambda record: pd.Series({s: float(record.pass_curve([k], s)[0]) for s in sorted(record.evaluations)})


def smoothed(name: str, transform: Callable[[pd.Series], pd.Series] = lambda s: s) -> Callable[[Record], pd.Series]:
    """A train/ metric over steps, averaged over windows of a fiftieth of the run."""

    def values(record: Record) -> pd.Series:
        series = transform(record.train.set_index("step")[name])
        window = max(1, len(series) // 50)
        return series.rolling(window, min_periods=1).mean().iloc[window - 1 :: window]

    return values


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


def legend(fig: Any, ax: Axes) -> None:
    """The legend of one panel, below the whole figure."""
    handles, labels = ax.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4))


def largest_ks(found: Sequence[Record], wanted: Sequence[int]) -> list[int]:
    """Those k that every run has the samples for."""
    most = min(record.num_samples for record in found)
    ks = [k for k in wanted if k <= most]
    return ks if ks[-1] == min(most, wanted[-1]) else [*ks, most]
