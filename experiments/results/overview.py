"""What RL does to a base in three panels: a single try and many tries over training, pass@k over k at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from experiments.results import policy_curves, policy_runs
from experiments.results.band import band
from experiments.results.policy_runs import Record
from experiments.results.spread import spread
from maxrl_jax.lm import evaluation


def ordered(found: Sequence[Record]) -> list[Record]:
    """The runs as they are drawn: MaxRL's first, in the legend too."""
    return sorted(found, key=lambda record: record.method != "maxrl")


def draw(axes: Sequence[Axes], found: Sequence[Record], many: int) -> list[dict]:
    """Mean over seeds, a band of one standard error; grey is the base that RL starts from, the mean of the runs' own.

    Over epochs where every run has a fixed training set, else over RL steps.

    Args:
        axes: three.
        found: runs with an evaluation before RL, in the order of the legend.
        many: tries of the second panel, or all samples of the runs where those are fewer.

    Returns:
        The plotted rows.
    """
    most = min(record.num_samples for record in found)
    epochs = all(record.epochs_per_step for record in found)
    rows: list[dict] = []
    for ax, k in zip(axes, (1, min(many, most)), strict=False):
        values = policy_curves.pass_at(k)
        drawn = policy_curves.over_steps(ax, found, policy_curves.by_epoch(values) if epochs else values, f"pass@{k}")
        policy_curves.base_line(ax, found, k)
        ax.set_xlabel("epochs of the training set" if epochs else "RL step")
        ax.set_ylim(bottom=_bottom(min(row["mean"] for row in drawn)))
        ax.set_title(f"solved with {k} {'try' if k == 1 else 'tries'}")
        rows += drawn
    rows = [{"epoch" if name == "step" and epochs else name: value for name, value in row.items()} for row in rows]
    return rows + _over_k(axes[2], found, evaluation.orders(most))


def _bottom(least: float) -> float:
    """Where the axis of a success rate starts: at 0, or below the curves where all run near 1."""
    return 0.0 if least < 0.8 else np.floor(20 * (least - 0.02)) / 20


def _over_k(ax: Axes, found: Sequence[Record], ks: Sequence[int]) -> list[dict]:
    """pass@k at the end over k, and the base's."""
    ax.set_xscale("log", base=2)
    curves = {"base": policy_runs.base(found, ks)}
    for method, records in policy_runs.groups(found).items():
        curves[method] = spread(np.stack([record.pass_curve(ks) for record in records]))
    rows = []
    drawn = policy_curves.looks(curves)
    for method, (mean, error, runs) in curves.items():
        band(ax, ks, mean, error, **drawn[method])
        rows += [
            {"metric": f"pass@{k} at the end", "method": method, "mean": m, "standard_error": e, "runs": n}
            for k, m, e, n in zip(ks, mean, error, np.broadcast_to(runs, len(ks)), strict=True)
        ]
    ax.set_xlabel("tries k")
    ax.set_ylim(bottom=0)
    ax.set_title("at the end: pass@k")
    return rows
