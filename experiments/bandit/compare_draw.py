"""Drawings of a comparison: learning curves, coverage, distance to exact ML, results by initial pass rate."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.bandit.frame import draw_rollouts, draw_steps
from experiments.results.drawing import Drawing
from experiments.results.style import COLOURS, LABELS, from_zero, new_figure, shades

LEVELS = (0.25, 0.5, 0.75)  # of pass@1, to which steps are counted
SHORT = {"ml": "ML", "rl": "RL", "grpo": "GRPO"}  # of exact objectives
FIRST = ("maxrl", "grpo", "rloo")
LIKE_OTHERS = ("reinforce", "pkpo")  # left out of the distances where others are: they lie on RLOO and MaxPO


def _sizes(table: pd.DataFrame, method: str) -> list[int]:
    """The N of an estimator among the runs, ascending."""
    return sorted(int(n) for n in table[table.method == method].num_rollouts.dropna().unique())


def _label(table: pd.DataFrame, method: str, size: int) -> str:
    """The runs' label of an estimator at N, hyper-parameters included."""
    return table[(table.method == method) & (table.num_rollouts == size)].label.iloc[0]


def _estimators(table: pd.DataFrame) -> list[str]:
    """The estimators among the runs, MaxRL, GRPO and RLOO before others."""
    there = list(dict.fromkeys(table[table.num_rollouts.notna()].method))
    return sorted(there, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))


def lines_of(final: pd.DataFrame) -> list[dict[str, Any]]:
    """Which runs are drawn as lines, with their style: exact objectives, one estimator over N, GRPO at one N.

    The one over N is MaxRL where it is among the runs, else the first there is.
    """
    lines = [
        {"label": f"exact {name}", "text": f"exact {SHORT[name]}", "color": COLOURS[name], "linestyle": "-"}
        for name in SHORT
        if f"exact {name}" in set(final.label)
    ]
    focus = _estimators(final)[0]
    sizes = _sizes(final, focus)
    some = [n for n in sizes if n in (4, 16, 64, 256, 1024)] or sizes
    if focus != "grpo" and (others := _sizes(final, "grpo")):
        middle = 16 if 16 in others else others[0]
        text, colour = f"{LABELS['grpo']}, $N={middle}$", COLOURS["grpo"]
        lines.append({"label": _label(final, "grpo", middle), "text": text, "color": colour, "linestyle": "--"})
    for n, colour in zip(some, shades(focus, len(some)), strict=True):
        text = f"{LABELS.get(focus, focus)}, $N={n}$"
        lines.append({"label": _label(final, focus, n), "text": text, "color": colour, "linestyle": "--"})
    return lines


def over_steps(ax: Axes, curves: pd.DataFrame, lines: list[dict[str, Any]], y: str) -> None:
    """Noise-free runs as lines, sampled runs of the same methods as dots."""
    for line in lines:
        style = {"color": line["color"], "linestyle": line["linestyle"], "label": line["text"]}
        draw_steps(ax, curves[curves.label == line["label"]], y, **style)


def coverage(ax: Axes, final: pd.DataFrame, lines: list[dict[str, Any]]) -> None:
    """pass@k over k at the end of the noise-free runs."""
    ks = sorted(int(column.split("@")[1]) for column in final if column.startswith("pass@"))
    for line in lines:
        rows = final[(final.label == line["label"]) & (final.gradients == "expected")]
        values = [rows[f"pass@{k}"].mean() for k in ks]
        ax.plot(ks, values, color=line["color"], linestyle=line["linestyle"])
    ax.set_xscale("log", base=2)
    ax.set(xlabel="$k$", ylabel="pass@$k$ at the end")
    from_zero(ax, 1.03)


def _text(rows: pd.DataFrame) -> str:
    """Legend of an estimator over N, with what stays fixed while N grows."""
    name, label = rows.method.iloc[0], rows.sort_values("num_rollouts").label.iloc[-1]
    if name == "maxrl_order":
        return "MaxRL of order $N/2$"
    found = re.search(r" k=(\d+)", label)
    return f"MaxPO, $k={found[1]}$" if found and name == "maxpo" else LABELS.get(name, name)


def distance_over_rollouts(ax: Axes, final: pd.DataFrame) -> None:
    """Distance to exact ML over N: noise-free lines, sampled dots with the standard error over seeds."""
    there = _estimators(final)
    for name in [n for n in there if n not in LIKE_OTHERS] or there:
        rows = final[(final.method == name) & final.num_rollouts.notna()]
        draw_rollouts(ax, rows, "distance_to_ml", color=COLOURS.get(name, "0.5"), label=_text(rows))
    ax.set_ylabel("nats from exact ML")
    from_zero(ax)
    ax.legend(handlelength=1.2, labelspacing=0.2)


def draw_comparison(curves: pd.DataFrame, final: pd.DataFrame) -> Drawing:
    """Learning curves, coverage and the distance to exact maximum likelihood of one comparison."""
    lines = lines_of(final)
    fig, (left, centre, right) = new_figure(1, 3, width="page", aspect=0.95)
    over_steps(left, curves, lines, "pass@1")
    left.set(ylabel="pass@1")
    from_zero(left, 1.03)
    coverage(centre, final, lines)
    distance_over_rollouts(right, final)
    left.set_title("lines: noise-free; dots: sampled")
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return Drawing(fig, pd.concat([curves.assign(part="curves"), final.assign(part="final")], ignore_index=True))


def bars(ax: Axes, strata: pd.DataFrame, labels: list[tuple[str, str, Any]], column: str) -> None:
    """Grouped bars, one group a stratum; noise-free value, with the sampled one as a dot."""
    names = list(dict.fromkeys(strata.stratum))
    width = 0.8 / len(labels)
    for i, (label, text, colour) in enumerate(labels):
        rows = strata[strata.label == label]
        place = np.arange(len(names)) + (i - (len(labels) - 1) / 2) * width
        exact = rows[rows.gradients == "expected"].groupby("stratum")[column].mean().reindex(names)
        ax.bar(place, exact, width * 0.92, color=colour, label=text)
        drawn = rows[rows.gradients == "sampled"].groupby("stratum")[column].mean().reindex(names)
        ax.plot(place, drawn, "k.", markersize=3)
    ax.set_xticks(np.arange(len(names)), names)
    ax.set_xlabel("initial pass rate")


def steps_panel(ax: Axes, strata: pd.DataFrame, labels: list[tuple[str, str, Any]]) -> None:
    """Steps to 50 % pass@1 as a dot, from 25 to 75 % as a bar; a triangle at the top where 50 % is not reached."""
    names = list(dict.fromkeys(strata.stratum))
    horizon = np.nanmax([1.0, strata[[c for c in strata if c.startswith("steps to")]].max().max()])
    for i, (label, _, colour) in enumerate(labels):
        rows = strata[(strata.label == label) & (strata.gradients == "expected")].groupby("stratum")
        low, middle, high = (rows[f"steps to {level:g}"].mean().reindex(names) for level in LEVELS)
        place = np.arange(len(names)) + (i - (len(labels) - 1) / 2) * 0.8 / len(labels)
        reached = middle.notna().to_numpy()
        ax.vlines(place[reached], low[reached].clip(lower=1), high.fillna(horizon)[reached], color=colour)
        ax.plot(place[reached], middle[reached].clip(lower=1), "o", color=colour)
        ax.plot(place[~reached], np.full((~reached).sum(), 1.25 * horizon), "^", color=colour, markerfacecolor="none")
    ax.set_xticks(np.arange(len(names)), names)
    ax.set(yscale="log", xlabel="initial pass rate", ylabel="steps to 25-75 % pass@1")


def bar_labels(strata: pd.DataFrame) -> list[tuple[str, str, Any]]:
    """(label, text, colour) of the methods shown by stratum: three estimators at a small and a large N, exact ML.

    Of RLOO the small N alone: its objective is the same at every N.
    """
    wanted = []
    for name in reversed(_estimators(strata)[:3]):
        sizes = [n for n in _sizes(strata, name) if n > 1] or _sizes(strata, name)
        ends = list(dict.fromkeys([16 if 16 in sizes else sizes[0], sizes[-1]]))
        ends = ends[:1] if name == "rloo" else ends
        for n, colour in zip(ends, shades(name, 2)[-len(ends) :], strict=True):
            wanted.append((_label(strata, name, n), f"{LABELS.get(name, name)}, $N={n}$", colour))
    return [*wanted, ("exact ml", "exact ML", COLOURS["ml"])]


def draw_strata(strata: pd.DataFrame) -> Drawing:
    """Final pass@1 and steps to 25, 50, 75 % by stratum of initial pass rate."""
    labels = bar_labels(strata)
    fig, (left, right) = new_figure(1, 2, width="page", aspect=0.7)
    bars(left, strata, labels, "final pass@1")
    left.set(ylabel="pass@1 at the end", ylim=(0, 1.03), title="bars: noise-free; dots: sampled")
    steps_panel(right, strata, labels)
    right.set_title("triangles: 50 % not reached")
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return Drawing(fig, strata)
