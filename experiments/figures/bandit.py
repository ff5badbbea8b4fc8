"""MaxPO Figures 1, 4 and 5: the bandit's bias and variance (constants are ours, see configs/bandit.py)."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from configs.bandit import get_config
from experiments.bandit import maxpo
from experiments.figures.registry import Context, Drawing, figure
from experiments.figures.style import COLOURS, LABELS, new_figure

MARKERS = {"expected_improvement": "s", "maxpo": "o", "ei_leave_one_out": "^"}


@functools.lru_cache(maxsize=6)
def _table(part: str, quick: bool, seed: int) -> pd.DataFrame:
    """A table of the study, kept: Figure 1 shares its variances with Figures 4 and 5."""
    config = get_config("maxpo_quick" if quick else "maxpo")
    config.seed = seed
    return getattr(maxpo, part)(config)


def _mean_and_error(ax: Axes, table: pd.DataFrame, x: str, y: str) -> None:
    """One line an estimator: mean over seeds, band of one standard error."""
    for name in maxpo.ESTIMATORS:
        groups = table[table.estimator == name].groupby(x)[y]
        mean, error = groups.mean(), groups.sem().fillna(0.0)
        ax.plot(mean.index, mean, marker=MARKERS[name], color=COLOURS[name], label=LABELS[name])
        ax.fill_between(mean.index, mean - error, mean + error, color=COLOURS[name], alpha=0.2, linewidth=0)


def _error_panel(ax: Axes, table: pd.DataFrame) -> None:
    for name in maxpo.ESTIMATORS:
        rows = table[table.estimator == name]
        mean = rows.groupby("batches")["error"].mean()
        error = rows.groupby("batches")["error"].sem().fillna(0.0)
        ax.loglog(mean.index, mean, color=COLOURS[name], label=LABELS[name])
        low = np.maximum(mean - error, mean / 10)
        ax.fill_between(mean.index, low, mean + error, color=COLOURS[name], alpha=0.2, linewidth=0)
    unbiased = table[table.estimator == "maxpo"].groupby("batches")["predicted"].mean()
    ax.loglog(unbiased.index, unbiased, "k:", linewidth=0.9, label=r"$\sqrt{\mathrm{variance}/M}$")
    bias = table[table.estimator == "ei_leave_one_out"].groupby("seed")["bias"].first().mean()
    ax.axhline(bias, color="k", linestyle="--", linewidth=0.9, label="exact bias of EI + L1O")
    ax.set(xlabel="number of batches $M$", ylabel="error of the mean gradient")


def _variance_panel(ax: Axes, table: pd.DataFrame, x: str) -> None:
    _mean_and_error(ax, table, x, "variance")
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
    centre.set(ylabel="total variance", ylim=(0, None), title=f"$N={num_rollouts}$, $k={actions.k.iloc[0]}$")
    right.set(ylim=(0, None), title=f"$N={num_rollouts}$, {ks.actions.iloc[0]:,} actions")
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
        ax.set(title=f"$N={n}$", ylim=(0, None))
    axes[0, 0].set_ylabel("total variance")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Drawing(fig, table)


@figure("maxpo_fig1", title="MaxPO Figure 1: error of the mean gradient, and total variance over actions and k")
def maxpo_fig1(context: Context) -> Drawing:
    """EI and EI+L2O fall as 1/sqrt(M), EI+L1O stops at its bias; L2O narrows EI most with many actions."""
    tables = [_table(part, context.quick, context.seed) for part in ("error_table", "variance_over_actions")]
    over_k = _table("variance_over_k", context.quick, context.seed)
    config = get_config("maxpo_quick" if context.quick else "maxpo")
    return draw_figure_1(*tables, over_k, config.arms.error_rollouts)


@figure("maxpo_fig4", title="MaxPO Figure 4: total variance over the number of actions, for several N")
def maxpo_fig4(context: Context) -> Drawing:
    """Total variance of EI, EI+L2O and EI+L1O over the number of actions."""
    return draw_variance(_table("variance_over_actions", context.quick, context.seed), "actions")


@figure("maxpo_fig5", title="MaxPO Figure 5: total variance over k, for several N")
def maxpo_fig5(context: Context) -> Drawing:
    """Total variance of EI, EI+L2O and EI+L1O over k."""
    return draw_variance(_table("variance_over_k", context.quick, context.seed), "k")
