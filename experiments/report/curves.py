"""From the runs' records to what the charts draw: one series for each metric and group, mean and spread."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from experiments.report.runs import PREFIXES, Group
from experiments.results.spread import over_seeds
from maxrl_jax.runs.folder.metric_writer import mean

MOST_POINTS = 240
_FAMILY_SIZE = 3
_NONE = pd.DataFrame({"step": [], "mean": [], "standard_error": []})

Spread = Mapping[tuple[str, str], pd.DataFrame]
"""Mean and standard error over seeds at each step, by (group's label, metric)."""


@dataclasses.dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        label: what the legend says.
        step: [n] steps.
        value: [n] means over the seeds; NaN where nothing finite was logged.
        error: [n] standard errors over the seeds; NaN for one seed.
        last: the last finite mean, whatever was averaged for drawing; NaN where there is none.
        seeds: number of seeds.
        binned: steps averaged into one point; 1 where all are drawn.
    """

    label: str
    step: np.ndarray
    value: np.ndarray
    error: np.ndarray
    last: float
    seeds: int
    binned: int = 1


@dataclasses.dataclass(frozen=True)
class Chart:
    """Lines that share axes.

    Attributes:
        title: a metric, or the family of metrics drawn together.
        series: the lines.
        metrics: the metrics drawn.
        by_metric: whether the lines are metrics of one group (they need their own legend) or groups.
        by_k: whether the horizontal axis is k, not the step.
    """

    title: str
    series: tuple[Series, ...]
    metrics: tuple[str, ...]
    by_metric: bool
    by_k: bool = False


def frame(groups: Sequence[Group]) -> pd.DataFrame:
    """Every metric of every run: columns label, seed, metric, step, value; a list of values as its mean."""
    rows = []
    for group in groups:
        for run in group.runs:
            for record in run.records:
                for name, value in record.items():
                    if name.split("/")[0] in PREFIXES and "/" in name:
                        rows.append((group.label, run.seed, name, record["step"], mean(value)))
    return pd.DataFrame(rows, columns=["label", "seed", "metric", "step", "value"])


def charts(groups: Sequence[Group], table: pd.DataFrame) -> dict[str, list[Chart]]:
    """The charts of a `frame` by prefix: of one group one a family of metrics, else one a metric, a line a group."""
    spread = dict(list(over_seeds(table, ["label", "metric", "step"]).groupby(["label", "metric"])))
    found: dict[str, list[Chart]] = {}
    for prefix in PREFIXES:
        names = sorted({name for name in table.metric if name.startswith(prefix + "/")}, key=_natural)
        if len(groups) == 1:
            made = [
                Chart(title, tuple(_series(spread, groups[0], m, _member(title, m)) for m in members), members, True)
                for title, members in families(names).items()
            ]
        else:
            made = [
                Chart(name, tuple(_series(spread, g, name, g.label) for g in groups), (name,), False) for name in names
            ]
        made += _over_k(spread, groups, names)
        if made:
            found[prefix] = made
    return found


def families(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Metrics to be drawn together, by title: all of ``eval/pass@``, of ``train/return/``, of ``train/fail_``.

    Example:
        >>> families(["eval/pass@1", "eval/pass@2", "eval/coverage"])
        {'eval/pass@k': ('eval/pass@1', 'eval/pass@2'), 'eval/coverage': ('eval/coverage',)}
    """
    stems = {name: _stem(name) for name in names}
    counts = pd.Series(list(stems.values())).value_counts() if names else {}
    found: dict[str, list[str]] = {}
    for name in names:
        stem = stems[name]
        least = _FAMILY_SIZE if stem.endswith("_") else 2
        together = stem != name and counts[stem] >= least
        found.setdefault(stem + ("k" if stem.endswith("@") else "…") if together else name, []).append(name)
    return {title: tuple(members) for title, members in found.items()}


def final_table(table: pd.DataFrame) -> pd.DataFrame:
    """The last finite value of every metric of a `frame`, over seeds: label, metric, mean, standard_error, n."""
    ordered = table.dropna(subset="value").sort_values("step", kind="stable")
    last = ordered.groupby(["label", "seed", "metric"], sort=False).last()
    return over_seeds(last.reset_index(), ["label", "metric"])


def _over_k(spread: Spread, groups: Sequence[Group], names: Sequence[str]) -> list[Chart]:
    """The last value of each ``name@k`` over k, a line a group: what more samples are worth."""
    made = []
    for title, members in families(names).items():
        if title.endswith("@k") and len(members) >= _FAMILY_SIZE:
            ks = np.array([float(name.rpartition("@")[2]) for name in members])
            lines = []
            for group in groups:
                parts = [_series(spread, group, name, "") for name in members]
                error = np.array([part.error[-1] if len(part.error) else np.nan for part in parts])
                value = np.array([part.last for part in parts])
                lines.append(Series(group.label, ks, value, error, math.nan, len(group.runs)))
            made.append(Chart(f"{title}, last, over k", tuple(lines), (), len(groups) == 1, by_k=True))
    return made


def _series(spread: Spread, group: Group, metric: str, label: str) -> Series:
    rows = spread.get((group.label, metric), _NONE).sort_values("step")
    arrays = [rows[column].to_numpy(float) for column in ("step", "mean", "standard_error")]
    finite = arrays[1][np.isfinite(arrays[1])]
    size = max(1, -(-len(rows) // MOST_POINTS))
    step, value, error = (_bins(array, size) for array in arrays)
    return Series(label, step, value, error, float(finite[-1]) if len(finite) else math.nan, len(group.runs), size)


def _bins(values: np.ndarray, size: int) -> np.ndarray:
    """Means of consecutive entries, NaN left out."""
    if size == 1:
        return values
    padded = np.concatenate([values, np.full(-len(values) % size, np.nan)]).reshape(-1, size)
    count = np.isfinite(padded).sum(axis=1)
    total = np.where(np.isfinite(padded), padded, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(padded), np.nan), where=count > 0)


def _stem(name: str) -> str:
    """What the metrics of one family share."""
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


def _natural(name: str) -> list:
    """Sorts pass@2 before pass@16."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
