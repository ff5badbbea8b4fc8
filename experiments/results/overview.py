"""The effect of RL on a base in three panels: one try and many tries over training, pass@k over k at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from experiments.results import policy_curves, policy_runs
from experiments.results.band import band
from experiments.results.groups import Group
from experiments.results.policy_runs import Record
from experiments.results.spread import spread
from maxrl_jax.lm import evaluation


def draw(axes: Sequence[Axes], groups: Sequence[Group[Record]], many: int) -> list[dict]:
    """Mean over seeds, a band of one standard error; grey is the base that RL starts from, the mean of the runs' own.

    Over epochs where every run has a fixed training set, else over RL steps.

    Args:
        axes: three.
        groups: of runs with an evaluation before RL, in the order of the legend.
        many: tries of the second panel, or all samples of the runs where those are fewer.

    Returns:
        The plotted rows.
    """
    found = [record for group in groups for record in group.runs]
    most = min(record.num_samples for record in found)
    epochs = all(record.epochs_per_step for record in found)
    rows: list[dict] = []
    for ax, k in zip(axes, (1, min(many, most)), strict=False):
        drawn = policy_curves.over_steps(ax, groups, policy_curves.pass_at(k), f"pass@{k}", epochs=epochs)
        policy_curves.levels(ax, found, k)
        ax.set_xlabel("epochs of the training set" if epochs else "RL step")
        ax.set_ylim(bottom=_bottom(min(row["mean"] for row in drawn)))
        ax.set_title(f"solved with {k} {'try' if k == 1 else 'tries'}")
        rows += drawn
    rows = [{"epoch" if name == "step" and epochs else name: value for name, value in row.items()} for row in rows]
    return rows + over_k(axes[2], groups, evaluation.orders(most))


def _bottom(least: float) -> float:
    """Where the axis of a success rate starts: at 0, or below the curves where all run near 1."""
    return 0.0 if least < 0.8 else np.floor(20 * (least - 0.02)) / 20


def over_k(ax: Axes, groups: Sequence[Group[Record]], ks: Sequence[int]) -> list[dict]:
    """pass@k over k after the last step that every run has, and the base's."""
    found = [record for group in groups for record in group.runs]
    step = policy_runs.last_common_step(found)
    ax.set_xscale("log", base=2)
    base = policy_runs.bases(found)
    looks = policy_curves.looks([base, *groups])
    rows = []
    for group in (base, *groups):
        at = [min(record.evaluations) if group is base else step for record in group.runs]
        curves = [record.pass_curve(ks, s) for record, s in zip(group.runs, at, strict=True)]
        mean, error, runs = spread(np.stack(curves))
        band(ax, ks, mean, error, **looks[group.key])
        rows += [
            {"metric": f"pass@{k} at the end", "method": group.key, "mean": m, "standard_error": e, "runs": n}
            for k, m, e, n in zip(ks, mean, error, runs, strict=True)
        ]
    blind = policy_runs.blind(found, ks)
    if blind is not None:
        ax.plot(ks, blind, **policy_curves.BLIND)
        rows += [
            {"metric": f"pass@{k} at the end", "method": "blind", "mean": m} for k, m in zip(ks, blind, strict=True)
        ]
    ax.set_xlabel("tries k")
    ax.set_ylim(bottom=0)
    ax.set_title("at the end: pass@k")
    return rows
