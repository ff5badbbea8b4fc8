"""From the runs' records to the charts: one series for each metric and group, mean and spread."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.results import style
from experiments.results.groups import Group, natural, parts
from experiments.results.spread import over_seeds
from maxrl_jax.runs.folder.metric_writer import mean

PREFIXES = ("eval", "train", "sft", "perf")
"""Prefixes of metrics in the order of the page, the most important first."""

MOST_POINTS = 120
_DASHES = ((), (7, 3), (2, 2.5), (9, 3, 2, 3))
_FAMILY_SIZE = 3
_WIDE = 1000  # greatest over least value of a chart, beyond which its axis is logarithmic


class Look(NamedTuple):
    """The colour (#rrggbb; the page lightens it on a dark ground) and dash (SVG's lengths) of a line."""

    colour: str
    dash: tuple[float, ...]


def looks(groups: Sequence[Group]) -> list[Look]:
    """By method, in its own colour, where methods differ or there is one, and all have a colour; else in turn."""
    methods = [parts(group.method)[0] for group in groups]
    by_method = (len(methods) == 1 or len(set(methods)) > 1) and set(methods) <= set(style.COLOURS)
    if not by_method:
        return in_turn(len(groups))
    colours = [style.COLOURS[name] for name in methods]  # lines that share a colour differ in their dash
    return [Look(colour, _DASHES[colours[:i].count(colour) % len(_DASHES)]) for i, colour in enumerate(colours)]


def in_turn(count: int) -> list[Look]:
    """Looks of lines that are no methods."""
    colours = len(style.CYCLE)
    return [Look(style.CYCLE[i % colours], _DASHES[i // colours % len(_DASHES)]) for i in range(count)]


@dataclasses.dataclass(frozen=True)
class Series:
    """One line of a chart: means and standard errors over seeds, NaN where there is none, [n] each.

    `last` is the last finite mean, whatever was averaged for drawing; `binned` the steps averaged into one point.
    """

    label: str
    step: np.ndarray
    value: np.ndarray
    error: np.ndarray
    last: float
    look: Look
    seeds: int
    binned: int = 1


@dataclasses.dataclass(frozen=True)
class Chart:
    """Lines that share axes: groups, or metrics of one group (by_metric), over steps or over k (by_k)."""

    title: str
    series: tuple[Series, ...]
    metrics: tuple[str, ...]
    by_metric: bool
    by_k: bool = False

    @property
    def binned(self) -> int:
        """The most steps averaged into one point of a line."""
        return max(series.binned for series in self.series)

    @property
    def drawn(self) -> bool:
        """Whether it has a finite value."""
        return any(np.isfinite(series.value).any() for series in self.series)

    @property
    def log(self) -> bool:
        """Whether the values, all above 0, range over more than three decades."""
        values = np.concatenate([series.value for series in self.series])
        values = values[np.isfinite(values)]
        return len(values) > 0 and values.min() > 0 and values.max() / values.min() > _WIDE


def frame(groups: Sequence[Group]) -> pd.DataFrame:
    """Every metric of every run: columns label, seed, metric, step, value; a list of values as its mean."""
    rows = [
        (group.label, run.seed, name, record["step"], mean(value))
        for group in groups
        for run in group.runs
        for record in run.records
        for name, value in record.items()
        if name.split("/")[0] in PREFIXES and "/" in name
    ]
    return pd.DataFrame(rows, columns=["label", "seed", "metric", "step", "value"])


def charts(groups: Sequence[Group], table: pd.DataFrame) -> dict[str, list[Chart]]:
    """The charts of a `frame` by prefix: of one group one a family of metrics, else one a metric, a line a group."""
    found: dict[str, list[Chart]] = {}
    for prefix in PREFIXES:
        names = _names(table, prefix)
        if len(groups) == 1:
            made = []
            for title, members in families(names).items():
                pairs = zip(members, in_turn(len(members)), strict=True)
                lines = (_series(table, groups[0], m, _member(title, m), look) for m, look in pairs)
                made.append(Chart(title, tuple(lines), members, True))
        else:
            made = [_of_metric(table, groups, name) for name in names]
        if made:
            found[prefix] = made
    return found


def headline(groups: Sequence[Group], table: pd.DataFrame, last: pd.DataFrame) -> list[Chart]:
    """The main result, a line a group: ``name@1`` by step and the last ``name@k`` over k, of each such family.

    Of the evaluations, or of the training of runs without any; `table` is a `frame`, `last` its `final_table`.
    """
    for prefix in ("eval", "train"):
        made = []
        for title, members in families(_names(table, prefix)).items():
            if title.endswith("@k") and len(members) >= _FAMILY_SIZE:
                made += [_of_metric(table, groups, members[0]), _over_k(groups, title, members, last)]
        if made:
            return made
    return []


def _names(table: pd.DataFrame, prefix: str) -> list[str]:
    return sorted({name for name in table.metric if name.startswith(prefix + "/")}, key=natural)


def _of_metric(table: pd.DataFrame, groups: Sequence[Group], name: str) -> Chart:
    pairs = zip(groups, looks(groups), strict=True)
    return Chart(name, tuple(_series(table, group, name, group.label, look) for group, look in pairs), (name,), False)


def families(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Metrics to be drawn together, by title: all of ``eval/pass@``, of ``train/return/``, of ``train/fail_``.

    Example:
        >>> families(["eval/pass@1", "eval/pass@2", "eval/coverage"])
        {'eval/pass@k': ('eval/pass@1', 'eval/pass@2'), 'eval/coverage': ('eval/coverage',)}
    """
    stems = {name: _stem(name) for name in names}
    counts = Counter(stems.values())
    found: dict[str, list[str]] = {}
    for name, stem in stems.items():
        together = stem != name and counts[stem] >= (_FAMILY_SIZE if stem.endswith("_") else 2)
        found.setdefault(stem + ("k" if stem.endswith("@") else "…") if together else name, []).append(name)
    return {title: tuple(members) for title, members in found.items()}


def final_table(table: pd.DataFrame) -> pd.DataFrame:
    """The last finite value of every metric of a `frame`, over seeds: label, metric, mean, standard_error, n."""
    ordered = table.dropna(subset="value").sort_values("step", kind="stable")
    last = ordered.groupby(["label", "seed", "metric"], sort=False).last()
    return over_seeds(last.reset_index(), ["label", "metric"])


def _over_k(groups: Sequence[Group], title: str, members: Sequence[str], last: pd.DataFrame) -> Chart:
    """The last value of each ``name@k`` over k: the value of more samples."""
    ks = np.array([float(name.rpartition("@")[2]) for name in members])
    lines = []
    for group, look in zip(groups, looks(groups), strict=True):
        rows = last[last.label == group.label].set_index("metric").reindex(members)
        value, error = rows["mean"].to_numpy(float), rows.standard_error.to_numpy(float)
        lines.append(Series(group.label, ks, value, error, math.nan, look, len(group.runs)))
    return Chart(f"{title}, last, over k", tuple(lines), (), False, by_k=True)


def _series(table: pd.DataFrame, group: Group, metric: str, label: str, look: Look) -> Series:
    own = table[(table.label == group.label) & (table.metric == metric)]
    rows = over_seeds(own, ["step"]).sort_values("step")
    arrays = [rows[column].to_numpy(float) for column in ("step", "mean", "standard_error")]
    finite = arrays[1][np.isfinite(arrays[1])]
    size = max(1, -(-len(rows) // MOST_POINTS))
    step, value, error = (_bins(array, size) for array in arrays)
    last = float(finite[-1]) if len(finite) else math.nan
    return Series(label, step, value, error, last, look, len(group.runs), size)


def _bins(values: np.ndarray, size: int) -> np.ndarray:
    """Means of consecutive entries, those that are not finite left out."""
    finite = pd.Series(values).where(np.isfinite(values))
    return finite.groupby(np.arange(len(values)) // size).mean().to_numpy()


def _stem(name: str) -> str:
    """The common beginning of a family's metrics."""
    parts = name.split("/")
    if len(parts) > 2:
        return "/".join(parts[:2]) + "/"
    if re.fullmatch(r".*@\d+", name):
        return name.rpartition("@")[0] + "@"
    return name.partition("_")[0] + "_" if "_" in name else name


def _member(title: str, name: str) -> str:
    """A metric's name within its family."""
    if title.endswith("@k"):
        return name.removeprefix(title.removesuffix("@k"))
    return name.removeprefix(title.removesuffix("…")) if title != name else name.partition("/")[2]
