"""What drawings of language-model policies share: one look a method, curves over RL steps or epochs, tables."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from experiments.results import policy_runs, style
from experiments.results.band import band
from experiments.results.policy_runs import Record
from experiments.results.spread import spread


def look(method: str) -> dict[str, Any]:
    """Colour, label and line of a method, its hyper-parameter in the label."""
    estimator, parameter, entropy = _parts(method)
    label = style.LABELS.get(estimator, estimator)
    if parameter:
        label = label.replace("order T", f"order {parameter}") if "order T" in label else f"{label}, k={parameter}"
    line = {"linestyle": "--"} if entropy else {}
    return {**style.look(estimator), "label": label + (" + entropy" if entropy else ""), **line}


def looks(methods: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The looks of the methods of one drawing: those of one estimator share a colour and differ in their line."""
    found: dict[str, dict[str, Any]] = {}
    lines: dict[str, Iterator[Any]] = {}
    for method in methods:
        found[method] = look(method)
        estimator, parameter, entropy = _parts(method)
        if parameter and not entropy:
            found[method] |= {"linestyle": next(lines.setdefault(estimator, itertools.cycle(("-", "-.", ":"))))}
    return found


def _parts(method: str) -> tuple[str, str, bool]:
    """The estimator, its k or order, '' for none, and whether there is an entropy bonus."""
    name = method.removesuffix("_entropy")
    match = re.fullmatch(r"(.+?)_k?(\d+)", name)
    return (*(match.groups() if match else (name, "")), name != method)


def over_steps(ax: Axes, found: Sequence[Record], values: Callable[[Record], pd.Series], name: str) -> list[dict]:
    """One line a method: the mean over its runs, a band of one standard error; returns the plotted rows.

    At a step that some of the runs have not reached, those that have.
    """
    rows = []
    grouped = policy_runs.groups(found)
    drawn = looks(grouped)
    for method, runs in grouped.items():
        table = pd.concat([values(record) for record in runs], axis=1).sort_index()
        mean, error, _ = spread(table, axis=1)
        band(ax, table.index, mean, error, **drawn[method])
        rows += [
            {"metric": name, "method": method, "step": s, "mean": m, "standard_error": e, "runs": len(runs)}
            for s, m, e in zip(table.index, mean, error, strict=True)
        ]
    return rows


def pass_at(k: int) -> Callable[[Record], pd.Series]:
    """pass@k at every evaluation, indexed by step."""
    return lambda record: pd.Series({s: float(record.pass_curve([k], s)[0]) for s in sorted(record.evaluations)})


def by_epoch(values: Callable[[Record], pd.Series]) -> Callable[[Record], pd.Series]:
    """The same values over epochs of the fixed training set."""

    def over_epochs(record: Record) -> pd.Series:
        series = values(record)
        return series.set_axis(series.index * record.epochs_per_step)

    return over_epochs


def smoothed(name: str, transform: Callable[[pd.Series], pd.Series] = lambda s: s) -> Callable[[Record], pd.Series]:
    """A train/ metric over steps, averaged over windows of a fiftieth of the run.

    Of a fixed training set the window is an epoch, where that is longer and the run has one: then every point is of
    the same problems.
    """

    def values(record: Record) -> pd.Series:
        series = transform(record.train.set_index("step")[name])
        epoch = round(1 / record.epochs_per_step) if record.epochs_per_step else 0
        return windows(series, epoch if epoch <= len(series) else 0)

    return values


def windows(series: pd.Series, least: int = 0) -> pd.Series:
    """Means of windows of a fiftieth of a series, or of ``least`` values where those are more, each at its end."""
    window = max(1, len(series) // 50, least)
    return series.rolling(window, min_periods=1).mean().iloc[window - 1 :: window]


def base_line(ax: Axes, found: Sequence[Record], k: int, **line: Any) -> list[dict]:
    """pass@k before RL as a level line, the mean over the bases; returns the plotted row."""
    mean, error, runs = policy_runs.base(found, [k])
    ax.axhline(mean[0], **{**look("base"), **line})
    row = {"metric": f"pass@{k}", "method": "base", "mean": mean[0], "standard_error": error[0], "runs": int(runs[0])}
    return [row]


def legend(fig: Any, ax: Axes, where: str = "outside lower center") -> None:
    """The legend of one panel, below the whole figure."""
    handles, labels = ax.get_legend_handles_labels()
    fits = 4 if fig.get_figwidth() > style.WIDTHS["column"] else 2
    fig.legend(handles, labels, loc=where, ncols=min(len(labels), fits))


def largest_ks(found: Sequence[Record], wanted: Sequence[int]) -> list[int]:
    """Those k that every run has the samples for."""
    most = min(record.num_samples for record in found)
    ks = [k for k in wanted if k <= most]
    return ks if ks[-1] == min(most, wanted[-1]) else [*ks, most]
