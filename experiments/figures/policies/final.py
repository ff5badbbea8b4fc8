"""Figures of trained policies at their last common evaluation, published points beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.figures.policies.panels import published_at_17, records
from experiments.figures.registry import Context, Skipped, figure
from experiments.results import policy_curves, policy_runs
from experiments.results.band import apart, bars
from experiments.results.drawing import Drawing
from experiments.results.groups import Group, by, group, label, parts
from experiments.results.policy_curves import blind_level, legend, looks
from experiments.results.policy_runs import Counts, Record
from experiments.results.spread import spread
from experiments.results.style import COLOURS, LABELS, new_figure, shades
from maxrl_jax.lm import evaluation

_SUPPORT = {"kept": "#009e73", "gained": "#56b4e9", "lost": "#d55e00", "neither": "#c8c8c8"}


@figure("maxrl_fig3", title="Held-out -log pass@k over the rollouts a prompt gets", needs_runs=True)
def maxrl_fig3(context: Context) -> Drawing:
    """One line a method over N, at k = 1 and at the largest k of the runs; levels: the base, a blind guess.

    All runs are compared at the last step that each of them was evaluated at, and where points have other seeds, those
    seeds are drawn that all have. A run that solved nothing has no finite point: the CSV says inf.
    """
    found = records(context)
    shared = set.intersection(*({run.seed for run in one.runs} for one in group(found)))
    found = [run for run in found if run.seed in shared] or found
    step, most = policy_runs.last_common_step(found), min(record.num_samples for record in found)
    theirs = published_at_17(found, "Figure 3")
    lines: dict[str, dict[int, Group[Record]]] = {}
    points = by(group(found), lambda one: (one.method, one.runs[0].num_rollouts))
    for (method, n), one in sorted(points.items(), key=lambda item: item[0][1]):
        lines.setdefault(method, {})[n] = one
    drawn = looks([_line(method, list(line.values())) for method, line in lines.items()], markers=True)
    fig, axes = new_figure(1, 2, width="page", aspect=0.8)
    rows: list[dict] = []
    for ax, k in zip(axes, (1, most), strict=True):
        ours = {"k": k, "source": "ours"}
        ax.set_xscale("log", base=2)
        for (method, line), shift in zip(lines.items(), apart(len(lines)), strict=True):
            here = [spread([_loss(k, run, step) for run in one.runs]) for one in line.values()]
            bars(ax, np.multiply(list(line), shift), [s.mean for s in here], [s.error for s in here], **drawn[method])
            for n, (mean, error, runs) in zip(line, here, strict=True):
                row = {"method": method, "rollouts": n, "mean": mean, "standard_error": error, "runs": runs}
                rows.append(ours | row)
        base = float(np.mean([_loss(k, run, min(run.evaluations)) for run in policy_runs.bases(found).runs]))
        ax.axhline(base, ls="--", color=COLOURS["base"], label="Base")
        rows.append(ours | {"method": "base", "mean": base})
        rows += [ours | row for row in blind_level(ax, found, k, lambda rate: float(-np.log(rate)))]
        rows += _published_over_rollouts(ax, theirs, k)
        ax.set(xlabel="rollouts a prompt, N", ylabel=f"-log pass@{k}")
        numbers = [row["rollouts"] for row in rows if "rollouts" in row]
        ax.set_xlim(min(numbers) / 1.3, max(numbers) * 1.3)
    legend(fig, axes[0])
    return Drawing(fig, pd.DataFrame(rows).assign(step=step))


def _line(method: str, points: Sequence[Group[Record]]) -> Group[Record]:
    """The groups of one method as one line; its label says how many seeds a point has."""
    counts = sorted({len(one.runs) for one in points})
    seeds = f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else f"{counts[0]} seed{'s' * (counts[0] > 1)}"
    return Group(method, method, f"{label(method)}, {seeds}", tuple(run for one in points for run in one.runs))


def _published_over_rollouts(ax: Axes, theirs: pd.DataFrame, k: int) -> list[dict]:
    """Draws the published points; returns the plotted rows."""
    found = theirs[theirs.metric == f"-log pass@{k}"]
    for method, points in found.groupby("method"):
        if method == "base":
            ax.axhline(points.value.iloc[0], ls=":", color=COLOURS["base"], label="Base, published")
        else:
            ax.plot(points.rollouts, points.value, "x", color=COLOURS.get(method), label=f"{LABELS[method]}, published")
    rows = found[["method", "rollouts", "value"]].rename(columns={"value": "mean"}).to_dict("records")
    return [{"k": k, "source": "published", **row} for row in rows]


@figure("maxpo_fig9", title="Held-out prompts whose support is kept, lost or gained by RL", needs_runs=True)
def maxpo_fig9(context: Context) -> Drawing:
    """Stacked bars a method: successes at step 0 against the last common evaluation, as many samples of both."""
    found = records(context, lambda r: len(r.evaluations) > 1, "with evaluations before and after RL")
    step, groups = policy_runs.last_common_step(found), group(found)
    rows = []
    fig, ax = new_figure(width="column", aspect=0.8)
    for place, one in enumerate(groups):
        pairs = [(run.evaluations[0]["solved"], run.evaluations[step]["solved"]) for run in one.runs]
        counts = pd.DataFrame([policy_runs.support(*pair) for pair in pairs])
        bottom = 0.0
        for part, colour in _SUPPORT.items():
            share = float(counts[part].mean() / counts.sum(axis=1).mean())
            ax.bar(place, share, bottom=bottom, color=colour, label=part if place == 0 else None, width=0.65)
            bottom += share
            rows.append({"method": one.key, "part": part, "share": share, "runs": len(one.runs)})
    names = [f"{one.label} ({len(one.runs)})" for one in groups]
    ax.set_xticks(range(len(groups)), names, rotation=30, ha="right", rotation_mode="anchor")
    ax.set_ylabel("share of held-out prompts")
    ax.set_title("mean; in brackets the number of seeds")
    ax.grid(visible=False)
    legend(fig, ax)
    return Drawing(fig, pd.DataFrame(rows))


@figure("maxpo_fig10", title="pass@k for MaxPO at several training k", needs_runs=True)
def maxpo_fig10(context: Context) -> Drawing:
    """Final pass@k over k for maxpo runs, one line a training k."""
    found = records(context, lambda r: r.method.startswith("maxpo_k"), "of maxpo")
    ks = evaluation.orders(min(run.num_samples for run in found))
    groups = by(group(found), lambda one: int(parts(one.method)[1]))
    lines = sorted(groups.items())
    fig, ax = new_figure()
    curves = [(one, [run.pass_curve(ks, policy_runs.last_common_step(found)) for run in one.runs]) for _, one in lines]
    rows = policy_curves.over_k(ax, curves, ks, found)
    for drawn, (trained, _), colour in zip(ax.lines, lines, shades("maxrl", len(lines)), strict=False):
        drawn.set(color=colour, linestyle="-", marker="o", label=f"k = {trained}")
    ax.set(xlabel="k", ylabel="held-out pass@k")
    ax.legend(title="MaxPO trained at")
    return Drawing(fig, pd.DataFrame(rows))


@figure("pkpo_fig3", title="k_opt x k_eval: held-out pass@k over training, and at the end", needs_runs=True)
def pkpo_fig3(context: Context) -> Drawing:
    """A panel a k_eval, a line a k_opt (RLOO: 1), and the ends as a heat map, the best of each column in bold."""
    found = records(context, lambda r: r.method == "rloo" or r.method.startswith("pkpo_k"), "of rloo or pkpo")
    ks = policy_curves.largest_ks(found, (1, 4, 8, 16))
    groups = sorted(group(found), key=lambda one: [int(k) for k in (parts(one.method)[1] or "1").split("to")])
    fig, axes = new_figure(1, len(ks) + 1, width="page", aspect=1.3)
    rows: list[dict] = []
    for ax, k in zip(axes, ks, strict=False):
        rows += policy_curves.over_steps(ax, groups, policy_curves.pass_at(k), f"pass@{k}")
        ax.set(xlabel="RL step", title=f"pass@{k}")
    table = pd.DataFrame(rows)
    ends = table[table.step == table.step.max()].pivot_table("mean", "method", "metric", sort=False)
    axes[-1].imshow((ends / ends.max()).to_numpy(), cmap="Greys", vmin=0.5, vmax=1.6, aspect="auto")
    for i, method in enumerate(ends.index):
        for j, name in enumerate(ends.columns):
            best = "bold" if ends[name].idxmax() == method else "normal"
            axes[-1].text(j, i, f"{ends.loc[method, name]:.2f}", ha="center", va="center", fontsize=6, fontweight=best)
    axes[-1].set_xticks(range(len(ks)), [str(k) for k in ks])
    axes[-1].set_yticks(range(len(groups)), [parts(one.method)[1].replace("to", "→") or "1" for one in groups])
    axes[-1].set(xlabel="k_eval", ylabel="k_opt", title="at the end")
    axes[-1].grid(visible=False)
    legend(fig, axes[0], groups)
    return Drawing(fig, table)


@figure("maxrl_efficiency", title="Samples a method needs for each sample of MaxRL, at equal pass@k", needs_runs=True)
def maxrl_efficiency(context: Context) -> Drawing:
    """The factor of `efficiency` at the last common step; runs are paired by rollouts and seed."""
    found = records(context)
    step, groups = policy_runs.last_common_step(found), group(found)
    fig, ax = new_figure()
    rows = efficiency(ax, [(one, [(run, run.counts(step)) for run in one.runs]) for one in groups])
    if not rows:
        raise Skipped("no run of maxrl beside one of another method with the same rollouts and seed")
    table = pd.DataFrame(rows)
    if table.at_least.all():
        raise Skipped(f"one sample of MaxRL solves more than any number of the others' (pass@k up to {table.k.max()})")
    legend(fig, ax, [one for one in groups if one.key in set(table.method)])
    return Drawing(fig, table)


def efficiency(ax: Axes, counts: Sequence[tuple[Group[Record], Sequence[tuple[Record, Counts]]]], **names: Any) -> list:
    """Draws k over the samples MaxRL needs to reach another method's pass@k, the paper's factor; returns the rows.

    Above 1 MaxRL needs fewer. Where MaxRL's samples do not reach a method's pass@k the line ends; where one of them
    already has more, the factor is at least k: an arrow, without a bar. A point is the mean of the factor's logarithm
    over pairs of runs with the same rollouts and seed, its bar one standard error.

    Args:
        ax: axes to draw on.
        counts: of every group its runs, each with its successes.
        **names: columns that are the same in every row.
    """
    ours = [(one, pairs) for one, pairs in counts if one.method == "maxrl"]
    by([one for one, _ in ours], lambda one: one.runs[0].num_rollouts)
    maxrl = {_pair(run): found for _, pairs in ours for run, found in pairs}
    others = [(g, pairs) for g, pairs in counts if g.method != "maxrl" and all(_pair(run) in maxrl for run, _ in pairs)]
    drawn = looks([one for one, _ in others], markers=True)
    rows: list[dict] = []
    for (one, pairs), shift in zip(others, apart(len(others)), strict=True):
        points = []
        for k in evaluation.orders(min(found.num_samples for _, found in pairs)):
            targets = [(maxrl[_pair(run)], float(found.pass_curve([k])[0])) for run, found in pairs]
            needed = [n for own, target in targets if (n := own.samples_to_reach(target))]
            if len(needed) < len(targets):
                continue
            mean, error, runs = map(float, spread([np.log(k / n) for n in needed]))
            row = {**names, "method": one.key, "k": k, "factor": np.exp(mean), "low": np.exp(mean - error)}
            bound = any(own.pass_curve([1])[0] > target for own, target in targets)
            points.append({**row, "high": np.exp(mean + error), "pairs": int(runs), "at_least": bound})
        table = pd.DataFrame(points, columns=["k", "factor", "low", "high", "at_least"])
        measured, bounds = table[~table.at_least.astype(bool)], table[table.at_least.astype(bool) & (table.k > 1)]
        if len(measured):
            reach = np.array([measured.factor - measured.low, measured.high - measured.factor])
            bars(ax, measured.k * shift, measured.factor, reach, **drawn[one.key])
        arrow = {"marker": r"$\uparrow$", "markersize": 7, "linestyle": ""}
        ax.plot(bounds.k * shift, bounds.factor, color=drawn[one.key]["color"], **arrow)
        rows += points
    if all(row["at_least"] for row in rows):
        ax.clear()
        ax.set_axis_off()
        words = "not measurable: at each k, in some seed,\none sample of MaxRL solves more\nor no number as many"
        ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", fontsize=7)
        return rows
    ax.axhline(1.0, color="black", linewidth=0.8, zorder=1)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set(xlabel="k samples of the method", ylabel="k / samples MaxRL needs")
    return rows


def _loss(k: int, record: Record, step: int) -> float:
    """-log pass@k at a step; infinite where nothing was solved."""
    rate = record.pass_curve([k], step)[0]
    return float(-np.log(rate)) if rate > 0 else np.inf


def _pair(record: Record) -> tuple[int, int]:
    return record.num_rollouts, record.seed
