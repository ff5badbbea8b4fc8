"""Figures of trained policies, from run folders, published points beside ours."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.figures.policies.panels import published_at_17, records
from experiments.figures.registry import Context, Skipped, figure
from experiments.results import policy_runs
from experiments.results.band import apart, bars
from experiments.results.drawing import Drawing
from experiments.results.groups import Group, by, group, label, parts
from experiments.results.policy_curves import BLIND, blind_level, legend, looks
from experiments.results.policy_runs import Record
from experiments.results.spread import spread
from experiments.results.style import COLOURS, LABELS, new_figure, shades

_SUPPORT = {"kept": "#009e73", "gained": "#56b4e9", "lost": "#d55e00", "neither": "#c8c8c8"}


@figure("maxrl_fig3", title="Held-out -log pass@k over the rollouts a prompt gets", needs_runs=True)
def maxrl_fig3(context: Context) -> Drawing:
    """One line a method over N, at k = 1 and at the largest k of the runs; levels: the base, a blind guess.

    The first row has the runs of one number of prompts a step, as published. Where other runs have as many rollouts a
    step as one of those, P x N, a second row (ours) has them: there more rollouts cost prompts. All runs are compared
    at the last step that each of them was evaluated at. A run that solved nothing has no finite point: the CSV says
    inf.
    """
    found = records(context)
    step = policy_runs.last_common_step(found)
    most = min(record.num_samples for record in found)
    theirs = published_at_17(found, "Figure 3")
    fixed_parts = _by_what_is_fixed(found)
    fig, axes = new_figure(len(fixed_parts), 2, width="page", aspect=0.8, squeeze=False)
    rows: list[dict] = []
    for (fixed, runs), line, points in zip(fixed_parts.items(), axes, (theirs, theirs[:0]), strict=False):
        for ax, k in zip(line, (1, most), strict=True):
            of_panel = _over_rollouts(ax, runs, k, step) + _published_over_rollouts(ax, points, k)
            base, _, count = spread([_loss(k, run, min(run.evaluations)) for run in policy_runs.bases(runs).runs])
            ax.axhline(float(base), ls="--", color=COLOURS["base"], label="Base")
            of_panel.append({"k": k, "source": "ours", "method": "base", "value": float(base), "runs": int(count)})
            for row in blind_level(ax, runs, k, lambda rate: float(-np.log(rate))):
                of_panel.append({"k": k, "source": "ours", "method": "blind", "value": row["mean"]})
            numbers = [row["rollouts"] for row in of_panel if "rollouts" in row]
            ax.set_xscale("log", base=2)
            ax.set_xlim(min(numbers) / 1.3, max(numbers) * 1.3)
            ax.set_xlabel("rollouts a prompt, N")
            ax.set_ylabel(f"-log pass@{k}")
            ax.set_title(f"{fixed} a step")
            rows += [{"fixed": fixed, "step": step, **row} for row in of_panel]
    legend(fig, axes[0, 0], [])
    return Drawing(fig, pd.DataFrame(rows))


def _by_what_is_fixed(found: Sequence[Record]) -> dict[str, list[Record]]:
    """The runs of the commonest number of prompts, and those with as many rollouts a step as one of these has.

    Raises:
        Skipped: a run belongs to neither.
    """
    prompts = statistics.mode(record.num_prompts for record in found)
    same_prompts = [record for record in found if record.num_prompts == prompts]
    parts = {f"{prompts} prompts": same_prompts}
    others = [record for record in found if record.num_prompts != prompts]
    if others:
        rollouts = others[0].num_prompts * others[0].num_rollouts
        parts[f"{rollouts:,} rollouts"] = [r for r in found if r.num_prompts * r.num_rollouts == rollouts]
    if strange := [r for r in others if r.num_prompts * r.num_rollouts != rollouts]:
        raise Skipped(
            f"{strange[0].folder} has {strange[0].num_prompts} x {strange[0].num_rollouts} rollouts a step, neither "
            f"{prompts} prompts nor {rollouts} rollouts"
        )
    return parts


def _over_rollouts(ax: Axes, found: Sequence[Record], k: int, step: int) -> list[dict]:
    """Draws -log pass@k of every method over N; returns the plotted rows."""
    points = by(group(found), lambda one: (one.method, one.runs[0].num_rollouts))
    lines: dict[str, list[Group[Record]]] = {}
    for (method, _), one in sorted(points.items(), key=lambda item: item[0][1]):
        lines.setdefault(method, []).append(one)
    rows = []
    drawn = looks([_line(method, line) for method, line in lines.items()], markers=True)
    for (method, line), shift in zip(lines.items(), apart(len(lines)), strict=True):
        counts = [one.runs[0].num_rollouts for one in line]
        here = [spread([_loss(k, run, step) for run in one.runs]) for one in line]
        means, errors = [s.mean for s in here], [s.error for s in here]
        bars(ax, np.multiply(counts, shift), means, errors, **drawn[method])
        rows += [
            {"k": k, "source": "ours", "method": method, "rollouts": n, "value": s.mean, "standard_error": s.error}
            | {"runs": s.count}
            for n, s in zip(counts, here, strict=True)
        ]
    return rows


def _line(method: str, points: Sequence[Group[Record]]) -> Group[Record]:
    """The groups of one method as one line; its label says how many seeds a point has."""
    counts = sorted({len(one.runs) for one in points})
    seeds = f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else f"{counts[0]} seed{'s' * (counts[0] > 1)}"
    return Group(method, method, f"{label(method)}, {seeds}", tuple(run for one in points for run in one.runs))


def _published_over_rollouts(ax: Axes, theirs: pd.DataFrame, k: int) -> list[dict]:
    """Draws the published points; returns the plotted rows."""
    rows = []
    for method, points in theirs[theirs.metric == f"-log pass@{k}"].groupby("method"):
        if method == "base":
            ax.axhline(points.value.iloc[0], ls=":", color=COLOURS["base"], label="Base, published")
            rows.append({"k": k, "source": "published", "method": "base", "value": points.value.iloc[0]})
            continue
        ax.plot(points.rollouts, points.value, "x", color=COLOURS.get(method), label=f"{LABELS[method]}, published")
        rows += [
            {"k": k, "source": "published", "method": method, "rollouts": r, "value": v}
            for r, v in zip(points.rollouts, points.value, strict=True)
        ]
    return rows


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
    legend(fig, ax, [])
    return Drawing(fig, pd.DataFrame(rows))


@figure("maxpo_fig10", title="pass@k for MaxPO at several training k", needs_runs=True)
def maxpo_fig10(context: Context) -> Drawing:
    """Final pass@k over k for maxpo runs, one line a training k."""
    found = records(context, lambda r: r.method.startswith("maxpo_k"), "of maxpo")
    step = policy_runs.last_common_step(found)
    ks = [k for k in (2**j for j in range(12)) if k <= min(r.num_samples for r in found)]
    groups = by(group(found), lambda one: int(parts(one.method)[1]))
    fig, ax = new_figure()
    rows = []
    for (trained, one), colour in zip(sorted(groups.items()), shades("maxrl", len(groups)), strict=True):
        mean, error, runs = spread([record.pass_curve(ks, step) for record in one.runs])
        bars(ax, ks, mean, error, marker="o", color=colour, label=f"k = {trained}")
        rows += [
            {"training_k": one.method, "k": k, "pass_at_k": m, "standard_error": e, "runs": n}
            for k, m, e, n in zip(ks, mean, error, runs, strict=True)
        ]
    blind = policy_runs.blind(found, ks)
    if blind is not None:
        ax.plot(ks, blind, **BLIND)
    ax.set_xscale("log", base=2)
    ax.set_xlabel("k")
    ax.set_ylabel("held-out pass@k")
    ax.legend(title="MaxPO trained at")
    return Drawing(fig, pd.DataFrame(rows))


@figure("maxrl_efficiency", title="Samples a method needs for each sample of MaxRL, at equal pass@k", needs_runs=True)
def maxrl_efficiency(context: Context) -> Drawing:
    """The paper's efficiency factor: k over the samples MaxRL needs to reach another method's pass@k.

    Above 1 MaxRL needs fewer. Where MaxRL's samples do not reach a method's pass@k the line ends; where one of them
    already has more, the factor is at least k: an arrow, without a bar. Runs are compared at the last common step and
    paired by rollouts and seed; a point is the mean of the factor's logarithm over the pairs, its bar one standard
    error.
    """
    found = records(context)
    step, groups = policy_runs.last_common_step(found), group(found)
    ours = by([one for one in groups if one.method == "maxrl"], lambda one: one.runs[0].num_rollouts)
    maxrl = {_pair(run): run for one in ours.values() for run in one.runs}
    others = [one for one in groups if one.method != "maxrl" and all(_pair(run) in maxrl for run in one.runs)]
    rows = []
    for one in others:
        for k in (2**j for j in range(min(run.num_samples for run in one.runs).bit_length())):
            targets = [(maxrl[_pair(run)], float(run.pass_curve([k], step)[0])) for run in one.runs]
            needed = [policy_runs.samples_to_reach(y, r.evaluations[step]["solved"], r.num_samples) for r, y in targets]
            if None in needed:
                continue
            mean, error, pairs = map(float, spread([np.log(k / n) for n in needed]))
            row = {"method": one.key, "k": k, "factor": np.exp(mean), "low": np.exp(mean - error)}
            bound = any(r.pass_curve([1], step)[0] > y for r, y in targets)
            rows.append({**row, "high": np.exp(mean + error), "pairs": int(pairs), "at_least": bound})
    table = pd.DataFrame(rows)
    if not rows:
        raise Skipped("no run of maxrl beside one of another method with the same rollouts and seed")
    if table.at_least.all():
        raise Skipped(f"one sample of MaxRL solves more than any number of the others' (pass@k up to {table.k.max()})")
    fig, ax = new_figure()
    for (key, look), shift in zip(looks(others, markers=True).items(), apart(len(others)), strict=True):
        points = table[table.method == key]
        measured, bounds = points[~points.at_least], points[points.at_least & (points.k > 1)]
        reach = [measured.factor - measured.low, measured.high - measured.factor]
        if len(measured):
            bars(ax, measured.k * shift, measured.factor, np.array(reach), **look)
        ax.plot(bounds.k * shift, bounds.factor, color=look["color"], marker=r"$\uparrow$", markersize=7, linestyle="")
    ax.axhline(1.0, color="black", linewidth=0.8, zorder=1)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xlabel("k samples of the method")
    ax.set_ylabel("k / samples MaxRL needs")
    legend(fig, ax, others)
    return Drawing(fig, table)


def _loss(k: int, record: Record, step: int) -> float:
    """-log pass@k at a step; infinite where nothing was solved."""
    rate = record.pass_curve([k], step)[0]
    return float(-np.log(rate)) if rate > 0 else np.inf


def _pair(record: Record) -> tuple[int, int]:
    return record.num_rollouts, record.seed
