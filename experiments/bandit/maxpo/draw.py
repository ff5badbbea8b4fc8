"""Drawings of MaxPO's bandit: error of the mean over batches, total variance over actions and over k."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from experiments.bandit.maxpo.exact import ESTIMATORS
from experiments.results import band
from experiments.results.drawing import Drawing
from experiments.results.style import COLOURS, LABELS, from_zero, new_figure

MARKERS = {"expected_improvement": "s", "maxpo": "o", "ei_leave_one_out": "^"}
LINES = {"expected_improvement": "-", "maxpo": "--", "ei_leave_one_out": "-"}  # the two unbiased ones meet


def _curves(ax: Axes, table: pd.DataFrame, x: str, y: str, marked: bool) -> None:
    """One line an estimator: mean over instances, band of one standard error."""
    for name in ESTIMATORS:
        marker = MARKERS[name] if marked else ""
        line = {"color": COLOURS[name], "label": LABELS[name], "linestyle": LINES[name], "marker": marker}
        band.seeds(ax, table[table.estimator == name], x, y, **line)


def _error_panel(ax: Axes, table: pd.DataFrame) -> None:
    ax.set(xscale="log", yscale="log", xlabel="number of batches $M$", ylabel="error of the mean gradient")
    _curves(ax, table, "batches", "error", marked=False)
    unbiased = table[table.estimator == "maxpo"].groupby("batches")["predicted"].mean()
    ax.plot(unbiased.index, unbiased, "k:", linewidth=0.9, label=r"$\sqrt{\mathrm{variance}/M}$")
    bias = table[table.estimator == "ei_leave_one_out"].groupby("seed")["bias"].first().mean()
    ax.axhline(bias, color="k", linestyle="--", linewidth=0.9, label="exact bias of EI leave-one-out")


def _variance_panel(ax: Axes, table: pd.DataFrame, x: str) -> None:
    _curves(ax, table, x, "variance", marked=True)
    from_zero(ax)
    ax.set_xlabel("number of actions" if x == "actions" else "$k$ of max@$k$")
    ax.set_xscale("log", base=10 if x == "actions" else 2)
    if x == "k":
        ticks = [k for k in sorted(table.k.unique()) if k & (k - 1) == 0]
        ax.set_xticks(ticks, [str(k) for k in ticks])
        ax.minorticks_off()


def draw_figure_1(error: pd.DataFrame, over_actions: pd.DataFrame, over_k: pd.DataFrame, num_rollouts: int) -> Drawing:
    """Error of the mean over M; total variance over actions and over k, at one N."""
    fig, (left, centre, right) = new_figure(1, 3, width="page", aspect=0.95)
    _error_panel(left, error)
    actions = over_actions[over_actions.num_rollouts == num_rollouts]
    ks = over_k[over_k.num_rollouts == num_rollouts]
    _variance_panel(centre, actions, "actions")
    _variance_panel(right, ks, "k")
    centre.set(ylabel="total variance", title=f"$N={num_rollouts}$, $k={actions.k.iloc[0]}$")
    right.set(title=f"$N={num_rollouts}$, {ks.actions.iloc[0]:,} actions")
    left.set_title(f"$N={num_rollouts}$, mean over {error.seed.nunique()} instances")
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    parts = {"left": error, "centre": actions, "right": ks}
    return Drawing(fig, pd.concat([part.assign(panel=name) for name, part in parts.items()], ignore_index=True))


def draw_variance(table: pd.DataFrame, x: str) -> Drawing:
    """Total variance over `x` (actions or k), one panel for each number of rollouts."""
    sizes = sorted(table.num_rollouts.unique())
    fig, axes = new_figure(1, len(sizes), width="page", aspect=1.15, squeeze=False)
    for ax, n in zip(axes[0], sizes, strict=True):
        _variance_panel(ax, table[table.num_rollouts == n], x)
        ax.set_title(f"$N={n}$")
    axes[0, 0].set_ylabel("total variance")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Drawing(fig, table)
