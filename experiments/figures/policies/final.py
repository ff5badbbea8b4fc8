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
from experiments.results.policy_curves import legend, look, looks
from experiments.results.spread import spread
from experiments.results.style import COLOURS, LABELS, new_figure, shades


@figure("maxrl_fig3", title="Held-out -log pass@k over the rollouts a prompt gets", needs_runs=True)
def maxrl_fig3(context: Context) -> Drawing:
    """One line a method over N, at k = 1 and at the largest k of the runs; levels are bases.

    The first row has the runs of one number of prompts a step, as published. Where other runs have as many rollouts a
    step as one of those, P x N, a second row (ours) has them: there more rollouts cost prompts. All runs are compared
    at the last step that each of them was evaluated at. A run that solved nothing has no finite point: the CSV says
    inf.
    """
    found = records(context)
    step = policy_runs.last_common_step(found)
    if step is None:
        raise Skipped("no step at which each of the runs was evaluated")
    most = min(record.num_samples for record in found)
    theirs = published_at_17(found, "Figure 3")
    parts = _by_what_is_fixed(found)
    fig, axes = new_figure(len(parts), 2, width="page", aspect=0.8, squeeze=False)
    rows: list[dict] = []
    for (fixed, runs), line, points in zip(parts.items(), axes, (theirs, theirs[:0]), strict=False):
        for ax, k in zip(line, (1, most), strict=True):
            of_panel = _over_rollouts(ax, runs, k, step) + _published_over_rollouts(ax, points, k)
            base = _negative_log(runs[0].pass_curve([k], min(runs[0].evaluations))[0])
            ax.axhline(base, ls="--", color=COLOURS["base"], label="Base")
            of_panel.append({"k": k, "source": "ours", "method": "base", "value": base})
            numbers = [row["rollouts"] for row in of_panel if "rollouts" in row]
            ax.set_xscale("log", base=2)
            ax.set_xlim(min(numbers) / 1.3, max(numbers) * 1.3)
            ax.set_xlabel("rollouts a prompt, N")
            ax.set_ylabel(f"-log pass@{k}")
            ax.set_title(f"{fixed} a step")
            rows += [{"fixed": fixed, "step": step, **row} for row in of_panel]
    legend(fig, axes[0, 0])
    return Drawing(fig, pd.DataFrame(rows))


def _by_what_is_fixed(found: Sequence[policy_runs.Record]) -> dict[str, list[policy_runs.Record]]:
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


def _over_rollouts(ax: Axes, found: Sequence[policy_runs.Record], k: int, step: int) -> list[dict]:
    """Draws -log pass@k of every method over N; returns the plotted rows."""
    rows = []
    grouped = policy_runs.groups(found)
    drawn = looks(grouped)
    for (method, runs), shift in zip(grouped.items(), apart(len(grouped)), strict=True):
        points: dict[int, list[float]] = {}
        for record in runs:
            points.setdefault(record.num_rollouts, []).append(_negative_log(record.pass_curve([k], step)[0]))
        counts = sorted(points)
        found_here = [spread(points[n]) for n in counts]
        means, errors = [s.mean for s in found_here], [s.error for s in found_here]
        bars(ax, np.multiply(counts, shift), means, errors, marker="o", **drawn[method])
        rows += [
            {"k": k, "source": "ours", "method": method, "rollouts": n, "value": s.mean, "standard_error": s.error}
            for n, s in zip(counts, found_here, strict=True)
        ]
    return rows


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
    """Stacked bars a method: successes at step 0 against the last evaluation, as many samples of both."""
    found = records(context, lambda r: len(r.evaluations) > 1, "with evaluations before and after RL")
    parts = {"kept": "#009e73", "gained": "#56b4e9", "lost": "#d55e00", "neither": "#c8c8c8"}
    rows = []
    fig, ax = new_figure(width="column", aspect=0.8)
    for place, (method, runs) in enumerate(policy_runs.groups(found).items()):
        counts = pd.DataFrame(
            [policy_runs.support(r.evaluations[0]["solved"], r.evaluations[max(r.evaluations)]["solved"]) for r in runs]
        )
        bottom = 0.0
        for part, colour in parts.items():
            share = float(counts[part].mean() / counts.sum(axis=1).mean())
            ax.bar(place, share, bottom=bottom, color=colour, label=part if place == 0 else None, width=0.65)
            bottom += share
            rows.append({"method": method, "part": part, "share": share, "runs": len(runs)})
    labels = [look(method)["label"] for method in policy_runs.groups(found)]
    ax.set_xticks(range(place + 1), labels, rotation=30, ha="right", rotation_mode="anchor")
    ax.set_ylabel("share of held-out prompts")
    ax.grid(visible=False)
    legend(fig, ax)
    return Drawing(fig, pd.DataFrame(rows))


@figure("maxpo_fig10", title="pass@k for MaxPO at several training k", needs_runs=True)
def maxpo_fig10(context: Context) -> Drawing:
    """Final pass@k over k for maxpo runs, one line a training k."""
    found = records(context, lambda r: r.method.startswith("maxpo_k"), "of maxpo")
    ks = [k for k in (2**j for j in range(12)) if k <= min(r.num_samples for r in found)]
    runs = sorted(policy_runs.groups(found).items(), key=lambda item: int(item[0].removeprefix("maxpo_k")))
    fig, ax = new_figure()
    rows = []
    for (method, group), colour in zip(runs, shades("maxrl", len(runs)), strict=True):
        mean, error, _ = spread([record.pass_curve(ks) for record in group])
        bars(ax, ks, mean, error, marker="o", color=colour, label=f"k = {method.removeprefix('maxpo_k')}")
        rows += [
            {"training_k": method, "k": k, "pass_at_k": m, "standard_error": e}
            for k, m, e in zip(ks, mean, error, strict=True)
        ]
    ax.set_xscale("log", base=2)
    ax.set_xlabel("k")
    ax.set_ylabel("held-out pass@k")
    ax.legend(title="MaxPO trained at")
    return Drawing(fig, pd.DataFrame(rows))


@figure("maxrl_efficiency", title="Samples a method needs for each sample of MaxRL, at equal pass@k", needs_runs=True)
def maxrl_efficiency(context: Context) -> Drawing:
    """The paper's efficiency factor: k over the samples MaxRL needs to reach another method's pass@k.

    Above 1 MaxRL needs fewer. Where MaxRL's samples do not reach a method's pass@k the line ends. Runs are paired
    by rollouts and seed; a point is the mean of the factor's logarithm over the pairs, its bar one standard error.
    """
    found = records(context)
    ours = {_pair(record): record for record in found if record.method == "maxrl"}
    fig, ax = new_figure()
    rows = []
    others = policy_runs.groups(r for r in found if r.method != "maxrl" and _pair(r) in ours)
    drawn = looks(others)
    for (method, runs), shift in zip(others.items(), apart(len(others)), strict=True):
        ks = [2**j for j in range(min(r.num_samples for r in runs).bit_length())]
        for k in ks:
            needed = [_samples_needed(ours[_pair(r)], float(r.pass_curve([k])[0])) for r in runs]
            if all(needed):
                mean, error, pairs = map(float, spread([np.log(k / n) for n in needed]))
                row = {"method": method, "k": k, "factor": np.exp(mean), "low": np.exp(mean - error)}
                rows.append({**row, "high": np.exp(mean + error), "pairs": int(pairs)})
        points = pd.DataFrame([row for row in rows if row["method"] == method])
        if len(points):
            reach = [points.factor - points.low, points.high - points.factor]
            bars(ax, points.k * shift, points.factor, reach, marker="o", **drawn[method])
    if not rows:
        raise Skipped("no run of maxrl beside one of another method with the same rollouts and seed")
    ax.axhline(1.0, color="black", linewidth=0.8, zorder=1)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xlabel("k samples of the method")
    ax.set_ylabel("k / samples MaxRL needs")
    ax.legend()
    return Drawing(fig, pd.DataFrame(rows))


def _negative_log(rate: float) -> float:
    return float(-np.log(rate)) if rate > 0 else np.inf


def _pair(record: policy_runs.Record) -> tuple[int, int]:
    return record.num_rollouts, record.config["seed"]


def _samples_needed(record: policy_runs.Record, target: float) -> int | None:
    last = record.evaluations[max(record.evaluations)]
    return policy_runs.samples_to_reach(target, last["solved"], record.num_samples)
