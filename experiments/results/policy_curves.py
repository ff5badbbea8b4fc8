"""Drawing of language-model policies: one look a method, curves over steps, epochs or k, levels, legends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.results import policy_runs, style
from experiments.results.band import band, bars
from experiments.results.groups import Group, parts
from experiments.results.policy_runs import Record
from experiments.results.spread import spread

BLIND = {"color": "0.25", "linestyle": (0, (1, 2)), "linewidth": 1.0, "label": "blind guess", "zorder": 1}
"""The line of `policy_runs.blind`."""

_LINES = ("-", "--", "-.", (0, (8, 2)), (0, (5, 1, 1, 1, 1, 1)))
_MARKERS = "osD^vPX"


def looks(groups: Iterable[Group], *, markers: bool = False) -> dict[str, dict[str, Any]]:
    """Colour, label and line of the groups of one drawing by their key; no two have the same colour and line.

    Args:
        groups: in the order of the legend.
        markers: whether points are marked; groups of one colour differ in their marker too.
    """
    found: dict[str, dict[str, Any]] = {}
    for group in groups:
        estimator, _, entropy = parts(group.method)
        look = style.look(estimator) | {"label": group.label} | ({"linestyle": "--"} if entropy else {})
        taken = [other["linestyle"] for other in found.values() if other["color"] == look["color"]]
        if look["linestyle"] in taken:
            look["linestyle"] = next((line for line in _LINES if line not in taken), ":")
        if markers:
            met = [other["marker"] for other in found.values() if other["color"] == look["color"]]
            own = style.MARKERS.get(estimator, "o")
            look["marker"] = next((m for m in (own, *_MARKERS) if m not in met), own)
        found[group.key] = look
    return found


def line(
    ax: Axes, over: str, x: Any, values: Any, look: Mapping[str, Any], *, marked: bool = False, **names: Any
) -> list[dict]:
    """One line: the mean over runs with a band (marked: bars) of one standard error; returns the plotted rows.

    Args:
        ax: axes to draw on.
        over: the name of x in the rows.
        x: [n].
        values: [R, n], a row a run.
        look: of `looks`.
        marked: whether points are marked.
        **names: columns that are the same in every row.
    """
    mean, error, runs = spread(np.asarray(values, float))
    (bars if marked else band)(ax, x, mean, error, **look)
    columns = zip(x, mean, error, runs, strict=True)
    return [{**names, over: at, "mean": m, "standard_error": e, "runs": n} for at, m, e, n in columns]


Values = Callable[[Any], pd.Series]
"""A metric of a run, indexed by step."""


def over_steps(
    ax: Axes,
    groups: Sequence[Group[Any]],
    values: Values,
    name: str,
    *,
    epochs: bool = False,
    smooth: bool = False,
    drawn: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[dict]:
    """A `line` for each group; all end at the last step that each run has reached; returns the plotted rows.

    Args:
        ax: axes to draw on.
        groups: in the order of the legend.
        values: the metric.
        name: of the metric, in the rows.
        epochs: whether the axis counts epochs of the fixed training set, not RL steps.
        smooth: whether a point is the mean of a `windows`; of a fixed training set, that of an epoch where it is longer
            and the run has one: then every point is of the same problems.
        drawn: how the group of each key is drawn; `looks` by default.
    """
    drawn = looks(groups) if drawn is None else drawn
    found = {group.key: [values(record).sort_index() for record in group.runs] for group in groups}
    if epochs:
        for group in groups:
            pairs = zip(group.runs, found[group.key], strict=True)
            found[group.key] = [series.set_axis(series.index * record.epochs_per_step) for record, series in pairs]
    end = min(series.index.max() for of_group in found.values() for series in of_group)
    rows = []
    for group in groups:
        cut = [series.loc[:end] for series in found[group.key]]
        if smooth:
            cut = [_smoothed(record, series) for record, series in zip(group.runs, cut, strict=True)]
        table = pd.concat(cut, axis=1, join="inner")
        rows += line(ax, "step", table.index, table.T, drawn[group.key], metric=name, method=group.key)
    return rows


def pass_at(k: int) -> Values:
    """pass@k at every evaluation."""
    return lambda record: pd.Series({s: float(record.pass_curve([k], s)[0]) for s in sorted(record.evaluations)})


def trained(name: str) -> Values:
    """A train/ metric."""
    return lambda record: record.train.set_index("step")[name].dropna()


def _smoothed(record: Record, series: pd.Series) -> pd.Series:
    epoch = round(1 / record.epochs_per_step) if record.epochs_per_step else 0
    return windows(series, epoch if epoch <= len(series) else 0)


def windows(series: pd.Series, least: int = 0) -> pd.Series:
    """Means of windows of a fiftieth of a series, or of ``least`` values where those are more, each at its end."""
    window = max(1, len(series) // 50, least)
    return series.rolling(window, min_periods=1).mean().iloc[window - 1 :: window]


def over_k(
    ax: Axes, curves: Sequence[tuple[Group, Any]], ks: Sequence[int], found: Sequence[Record] = (), **names: Any
) -> list[dict]:
    """pass@k over k: a `line` for each group and its values [R, n]; a blind walker's on the mazes of `found`."""
    ax.set_xscale("log", base=2)
    drawn = looks([group for group, _ in curves])
    rows = []
    for group, values in curves:
        rows += line(ax, "k", ks, values, drawn[group.key], method=group.key, **names)
    blind = policy_runs.blind(found, ks) if found else None
    if blind is not None:
        ax.plot(ks, blind, **BLIND)
        rows += [{**names, "method": "blind", "k": k, "mean": m} for k, m in zip(ks, blind, strict=True)]
    ax.set_xlabel("tries k")
    ax.set_ylim(bottom=0)
    return rows


def at_the_end(ax: Axes, groups: Sequence[Group[Record]], ks: Sequence[int]) -> list[dict]:
    """`over_k` after the last step that every run has, and of the bases."""
    ends = policy_runs.ends(groups)
    curves = [(one, [run.pass_curve(ks, s) for run, s in zip(one.runs, at, strict=True)]) for one, at in ends]
    rows = over_k(ax, curves, ks, [record for group in groups for record in group.runs], metric="pass@k at the end")
    ax.set_title("at the end: pass@k")
    return rows


def levels(ax: Axes, found: Sequence[Record], k: int, **look: Any) -> list[dict]:
    """pass@k before RL, the mean over the bases, and a blind walker's in mazes, as level lines; returns their rows."""
    mean, error, runs = policy_runs.base(found, [k])
    ax.axhline(mean[0], **{**style.look("base"), **look})
    row = {"metric": f"pass@{k}", "method": "base", "mean": mean[0], "standard_error": error[0], "runs": int(runs[0])}
    return [row, *blind_level(ax, found, k)]


def blind_level(ax: Axes, found: Sequence[Record], k: int, value: Callable[[float], float] = float) -> list[dict]:
    """A blind walker's pass@k in mazes as a level line; returns the plotted row, none for another task.

    Args:
        ax: axes to draw on.
        found: the runs whose held-out mazes it walks.
        k: tries.
        value: the axis' value for a pass@k.
    """
    rate = policy_runs.blind(found, [k])
    if rate is None:
        return []
    ax.axhline(value(rate[0]), **BLIND)
    return [{"metric": f"pass@{k}", "method": "blind", "mean": value(rate[0])}]


def legend(fig: Any, ax: Axes, groups: Sequence[Group] = ()) -> None:
    """The legend of one panel below the whole figure, with the number of seeds of some groups."""
    handles, labels = ax.get_legend_handles_labels()
    counts = {group.label: len(group.runs) for group in groups}
    if len(set(counts.values())) > 1:
        labels = [f"{label} ({counts[label]})" if label in counts else label for label in labels]
    fits = 2 if fig.get_figwidth() <= style.WIDTHS["column"] else 4 if max(map(len, labels)) > 12 else 6
    columns, title = min(len(labels), fits), seeds(counts.values())
    fig.legend(handles, labels, loc="outside lower center", ncols=columns, title=title, title_fontsize=7)


def seeds(counts: Iterable[int]) -> str | None:
    """The title of a legend whose lines have so many seeds."""
    different = set(counts)
    if len(different) > 1:
        return "mean and one standard error; in brackets the number of seeds"
    return next(("one seed" if n == 1 else f"mean and one standard error, {n} seeds" for n in different), None)


def largest_ks(found: Sequence[Record], wanted: Sequence[int]) -> list[int]:
    """Those k that every run has the samples for."""
    most = min(record.num_samples for record in found)
    ks = [k for k in wanted if k <= most]
    return ks if ks[-1] == min(most, wanted[-1]) else [*ks, most]
