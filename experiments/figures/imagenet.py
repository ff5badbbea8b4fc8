"""Figures of the image experiment, drawn from run folders; crosses at the right edge are the published end points.

The published runs are ImageNet's, 100,000 steps long: beside runs of a stand-in they are to be compared in order and
not in height.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from experiments.figures.registry import Context, Skipped, figure
from experiments.results import groups, image_runs, style
from experiments.results.drawing import Drawing
from experiments.results.groups import Group
from experiments.results.image_runs import Record
from experiments.results.policy_curves import over_steps, seeds
from experiments.results.published import published
from experiments.results.style import COLOURS, from_zero, new_figure, shades

Key = tuple[str, int]
"""(method, N)."""

_PUBLISHED_NAMES = {"reinforce": "mean_baseline"}
"""The paper's REINFORCE subtracts the mean (D.1)."""


def _found(context: Context, keep: Callable[[Record], bool] = lambda record: True) -> list[Record]:
    found = [record for record in image_runs.find(context.runs) if keep(record)]
    if not found:
        raise Skipped(f"no image run that it is about in {', '.join(map(str, context.runs))}")
    return found


def _published(number: str, methods: Sequence[str] | None = None) -> pd.DataFrame:
    """The end points of one published figure, methods under our names."""
    rows = published("imagenet", number).copy()
    rows["method"] = rows.method.replace(_PUBLISHED_NAMES)
    rows["rollouts"] = rows.rollouts.fillna(0).astype(int)
    return rows if methods is None else rows[rows.method.isin(methods)]


def _name(key: Key) -> str:
    """A legend's entry: the method with its k or order, and N."""
    method, n = key
    label = groups.label(_estimator(method))
    label += "".join(f", {name}={value}" for name, value in re.findall(r"\b(k|order)=(\d+)", method))
    return f"{label}, N={n:,}" if n else label


def _estimator(method: str) -> str:
    """``grpo`` of ``grpo(eps=1e-06, ddof=0)``."""
    return method.partition("(")[0]


def _palette(keys: Sequence[Key]) -> dict[Key, Any]:
    """A colour a method, lighter for fewer rollouts."""
    out: dict[Key, Any] = {}
    for method in dict.fromkeys(method for method, _ in keys):
        counts = sorted({n for name, n in keys if name == method})
        tones = shades(groups.parts(method)[0], len(counts)) if len(counts) > 1 else [style.look(method)["color"]]
        out |= {(method, n): tone for n, tone in zip(counts, tones, strict=True)}
    return out


def _groups(found: Sequence[Record]) -> dict[Key, Group[Record]]:
    """The groups by (method, N), the largest N first."""
    by_key = groups.by(groups.group(found), lambda one: (one.method, one.runs[0].num_rollouts))
    methods = list(dict.fromkeys(method for method, _ in by_key))
    return {key: by_key[key] for key in sorted(by_key, key=lambda key: (methods.index(key[0]), -key[1]))}


def _looks(ours: dict[Key, Group[Record]], palette: dict[Key, Any]) -> dict[str, dict[str, Any]]:
    """Thinner from one curve to the next: where several meet, those below show at the sides of those above."""
    found = {}
    for (key, one), width in zip(ours.items(), np.linspace(2.8, 1.0, len(ours)), strict=True):
        line = {"linewidth": 1.0 if key[0] in style.REFERENCES else width}
        found[one.key] = {**style.look(key[0]), "color": palette[key], "label": _name(key), **line}
    return found


def _crosses(ax: Axes, theirs: pd.DataFrame, metric: str, palette: dict[Key, Any]) -> list[dict]:
    """The published end points just right of the axes."""
    rows = []
    for row in theirs[theirs.metric == metric].itertuples():
        colour = palette[row.method, row.rollouts]
        ax.plot(1.03, row.value, "x", color=colour, transform=ax.get_yaxis_transform(), clip_on=False)
        method = f"published {row.method}, num_rollouts={row.rollouts}"
        rows.append({"metric": metric, "method": method, "step": row.step, "mean": row.value})
    return rows


def _legend(fig: Any, ax: Axes, found: Sequence[Group]) -> None:
    handles, labels = ax.get_legend_handles_labels()
    handles.append(Line2D([], [], color="0.3", marker="x", linestyle=""))
    labels.append("published, ImageNet after 100,000 steps")
    title = seeds(len(one.runs) for one in found)
    fig.legend(handles, labels, loc="outside lower center", ncols=3, title=title, title_fontsize=7)


def _panels(found: Sequence[Record], theirs: pd.DataFrame, metrics: Sequence[str], coverage: bool) -> Drawing:
    ours = _groups(found)
    lines = list(ours.values())
    end = min(record.evaluations.index[-1] for record in found)
    keys = [*ours, *zip(theirs.method, theirs.rollouts, strict=True)]
    palette = _palette(keys)
    looks = _looks(ours, palette)
    columns = len(metrics) + coverage
    fig, axes = new_figure(1, columns, width="page", aspect=0.75 if columns < 3 else 1.05)
    rows = []
    for ax, metric in zip(axes, metrics, strict=False):
        rows += over_steps(ax, lines, lambda run, name=metric: run.evaluations[name], metric, drawn=looks)
        rows += _crosses(ax, theirs, metric, palette)
        ax.set(title=f"validation {metric}", xlabel="step")
        from_zero(ax)
    if coverage:
        ax = axes[-1]
        over_k = over_steps(ax, lines, lambda run: run.coverage(end), "coverage at the end", drawn=looks)
        rows += [{"k" if name == "step" else name: value for name, value in row.items()} for row in over_k]
        ax.set(title="coverage at the end", xlabel="k")
        from_zero(ax)
        ax.set_xscale("log", base=2)
    _legend(fig, axes[0], lines)
    return Drawing(fig, pd.DataFrame(rows))


@figure("maxrl_fig2", title="Exact likelihood, MaxRL and REINFORCE on images", needs_runs=True)
def maxrl_fig2(context: Context) -> Drawing:
    """Validation pass@1 and pass@128 over steps; GRPO, which the paper's figure leaves out, where it was run."""
    methods = ("cross_entropy", "maxrl", "grpo", "mean_baseline", "reinforce")
    found = _found(context, lambda record: record.method in methods)
    return _panels(found, _published("2", methods), ("pass@1", "pass@128"), coverage=False)


@figure("maxrl_fig9", title="MaxRL against GRPO on images, top-1 and coverage", needs_runs=True)
def maxrl_fig9(context: Context) -> Drawing:
    """pass@1, pass@128 and top-1 (majority vote) over steps; pass@k over k at the end. Every method among the runs."""
    return _panels(_found(context), _published("9"), ("pass@1", "pass@128", "top1"), coverage=True)


@figure("maxrl_fig8", title="Gradient norm of an image against its pass rate", needs_runs=True)
def maxrl_fig8(context: Context) -> Drawing:
    """One panel a method: validation images at one checkpoint of the first run of that method, of the largest N.

    From the runs' figures/gradient_norms.csv, of eval.gradient_norm_step or of experiments.imagenet.measure_norms.
    """
    tables = [table for record in _found(context) if (table := record.gradient_norms()) is not None]
    if not tables:
        raise Skipped(
            "no run with figures/gradient_norms.csv (eval.gradient_norm_step, or experiments.imagenet.measure_norms)"
        )
    chosen: dict[str, pd.DataFrame] = {}
    for table in tables:
        for (method, n), rows in table.groupby(["method", "rollouts"], sort=False):
            if method not in chosen or n > chosen[method].rollouts.iloc[0]:
                chosen[method] = rows
    known = ("cross_entropy", "maxrl", "grpo", "mean_baseline")
    order = sorted(chosen, key=lambda m: known.index(_estimator(m)) if _estimator(m) in known else len(known))
    fig, axes = new_figure(1, len(order), width="page", aspect=0.3 + 0.2 * len(order), squeeze=False, sharey=True)
    for ax, method in zip(axes[0], order, strict=True):
        rows = chosen[method]
        dots = {"color": COLOURS.get(_estimator(method)), "alpha": 0.4, "markersize": 2, "mew": 0}
        ax.plot(rows.pass_rate, rows.gradient_norm, "o", **dots)
        ax.set(title=_name((method, int(rows.rollouts.iloc[0]))), xlabel="pass rate of the image")
        ax.locator_params(axis="x", nbins=4)
    axes[0][0].set_ylabel(f"gradient norm, step {int(rows.step.iloc[0]):,}")
    return Drawing(fig, pd.concat([chosen[method] for method in order], ignore_index=True))
