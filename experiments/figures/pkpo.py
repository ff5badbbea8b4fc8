"""PKPO Figures 1, 6, 7 and 8: its one-dimensional problem, exact where it can be, and ascent on it."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pandas as pd

from configs.gaussian import get_config
from experiments.figures.registry import Context, figure
from experiments.gaussian import estimators, problem, training
from experiments.results import folders
from experiments.results.band import band
from experiments.results.drawing import Drawing
from experiments.results.spread import spread
from experiments.results.style import COLOURS, LABELS, legend, new_figure
from maxrl_jax import advantages, keys
from maxrl_jax.advantages.subset_max import rank_weights
from maxrl_jax.runs.loop.chunks import scan

STD: float = get_config("paper").problem.std
ORDERS = (1, 2, 4, 8, 16, 64)


def _colours(count: int) -> list[tuple[float, ...]]:
    """Light to dark with k; the palest yellow is left out."""
    return [mpl.colormaps["viridis_r"](x) for x in np.linspace(0.1, 1, count)]


@figure("pkpo_fig1", title="PKPO Figure 1: max@k and its derivative over theta, exactly")
def pkpo_fig1(context: Context) -> Drawing:
    """Both curves by quadrature, accurate to float64 rounding; the dots are the exact optima."""
    theta = np.linspace(0.4, 1.3, 100 if context.quick else 500)
    fig, (left, right) = new_figure(1, 2, width="page", aspect=0.75)
    frames = []
    for k, colour in zip(ORDERS, _colours(len(ORDERS)), strict=True):
        value, slope = problem.max_at_k(theta, k, std=STD), problem.max_at_k_derivative(theta, k, std=STD)
        best = problem.optimal_theta(k, std=STD)
        left.plot(theta, value, color=colour, label=f"$k={k}$, optimum {best:.3f}")
        left.plot(best, problem.max_at_k(best, k, std=STD), "o", color=colour)
        right.plot(theta, slope, color=colour)
        right.plot(best, 0, "o", color=colour)
        frames.append(
            pd.DataFrame({"k": k, "theta": theta, "max_at_k": value, "derivative": slope, "optimal_theta": best})
        )
    left.set(xlabel=r"policy mean $\theta$", ylabel="max@$k$", ylim=(0, 1.02))
    right.set(xlabel=r"policy mean $\theta$", ylabel=r"d max@$k$ / d$\theta$")
    right.axhline(0, color="k", linewidth=0.6)
    for ax in (left, right):
        ax.axvline(1, color="0.6", linewidth=0.8, linestyle=":")
    right.text(1.01, 1.5, r"reward is 0 for $x > 1$", color="0.35", fontsize=6.5)
    legend(fig, left, 3)
    return Drawing(fig, pd.concat(frames, ignore_index=True))


@figure("pkpo_fig6", title="PKPO Figure 6: weight of the i-th smallest of n = 8 rewards in the estimate of max@k")
def pkpo_fig6(context: Context) -> Drawing:
    """mu_i / C(n, k) of PKPO eq. 12: uniform at k = 1, the largest reward alone at k = n."""
    n = 8
    fig, ax = new_figure(aspect=0.8)
    rank = np.arange(1, n + 1)
    frames = []
    for k, colour in zip(rank, _colours(n), strict=True):
        weights = rank_weights(n, int(k))
        ax.plot(rank, weights, "o-", color=colour, label=f"$k={k}$")
        frames.append(pd.DataFrame({"k": k, "rank": rank, "weight": weights}))
    ax.set(
        xlabel="rank $i$ of the reward (8 is the largest)", ylabel=r"weight $\mu_i / \binom{n}{k}$", ylim=(-0.02, 1.02)
    )
    ax.legend(ncols=2, loc="upper left")
    return Drawing(fig, pd.concat(frames, ignore_index=True))


SHOWN = {
    "pkpo none": "no baseline (PKPO eq. 19)",
    "pkpo loo": "leave-one-out (eq. 29)",
    "pkpo loo_minus_one": "max@($k$-1) baseline (eq. 33)",
    "maxpo": "centred (MaxPO; not in the paper)",
}


@figure("pkpo_fig7", title="PKPO Figure 7: effective reward over raw reward, n = 32 rewards uniform on [-1/2, 1/2]")
def pkpo_fig7(context: Context) -> Drawing:
    """Binned means over many groups, and the exact expectation as a dotted line."""
    n, draws, bins, orders = 32, 500 if context.quick else 20_000, 24, (2, 4, 8, 16)
    fig, axes = new_figure(2, 2, width="page", aspect=0.62, sharex=True)
    frames = []
    for ax, (label, title) in zip(axes.flat, SHOWN.items(), strict=True):
        name, hyper = estimators.FIGURE_8[label]
        for k, colour in zip(orders, _colours(len(orders)), strict=True):
            centres, found = estimators.binned_effective_rewards(
                keys.stream(context.seed, f"effective rewards {label}", k),
                advantages.get(name, k=k, **hyper),
                num_rewards=n,
                num_draws=draws,
                num_bins=bins,
            )
            exact = estimators.expected_effective_reward(label, centres, num_rewards=n, k=k)
            ax.plot(centres, exact, color=colour, linewidth=0.9)
            ax.plot(centres, found, "o", color=colour, label=f"$k={k}$")
            columns = {"estimator": label, "k": k, "reward": centres, "effective_reward": found, "exact": exact}
            frames.append(pd.DataFrame(columns))
        ax.axhline(0, color="k", linewidth=0.6)
        ax.set_title(title)
    for ax in axes[1]:
        ax.set_xlabel("raw reward $g_i$")
    for ax in axes[:, 0]:
        ax.set_ylabel("effective reward $s_i = A_i/n$")
    legend(fig, axes[0, 0], 4, f"dots: mean over {draws:,} groups of $n={n}$; lines: exact expectation")
    return Drawing(fig, pd.concat(frames, ignore_index=True))


STYLES = {
    "pkpo loo_minus_one": ("s-", COLOURS["pkpo"], "PKPO loo_minus_one, all subsets"),
    "pkpo loo": ("o-", COLOURS["grpo"], "PKPO loo, all subsets"),
    "pkpo none": ("^-", COLOURS["base"], "PKPO none, all subsets"),
    "partitioned loo_minus_one": ("s--", COLOURS["pkpo"], "loo_minus_one, partitioned"),
    "partitioned naive_baseline": ("o--", COLOURS["grpo"], "naive with baseline, partitioned"),
    "partitioned naive": ("^--", COLOURS["base"], "naive, partitioned"),
    "maxpo": ("D-", COLOURS["maxrl"], "MaxPO (not in the paper)"),
}


@figure("pkpo_fig8", title="PKPO Figure 8: variance of the estimators at theta = 1, k = 4, and their means")
def pkpo_fig8(context: Context) -> Drawing:
    """Left: sample variance of one estimate. Right: how far the mean is from the exact derivative."""
    table = _variances(context)
    fig, (left, right) = new_figure(1, 2, width="page", aspect=0.8)
    shift = np.linspace(-0.9, 0.9, len(STYLES))
    for (label, (line, colour, words)), offset in zip(STYLES.items(), shift, strict=True):
        rows = table[table.estimator == label]
        left.errorbar(rows.n, rows.variance, rows.variance_error, fmt=line, color=colour, label=words, markersize=3)
        right.plot(rows.n + offset, rows.z, line[0], color=colour, markersize=3)
    sizes = sorted(table.n.unique())
    left.set(xscale="log", yscale="log", xlabel="samples an estimate, $n$", ylabel="variance of the estimate")
    ticks = [n for n in sizes if n & (n - 1) == 0]
    left.set_xticks(ticks, [str(n) for n in ticks])
    left.minorticks_off()
    right.axhspan(-2, 2, color="0.9", zorder=0)
    right.axhline(0, color="k", linewidth=0.6)
    exact = table.exact_mean.iloc[0]
    right.set(xlabel="samples an estimate, $n$", ylabel="(mean $-$ exact) / standard error", ylim=(-4.5, 4.5))
    right.set_title(f"means; the exact derivative is {exact:.4f}")
    legend(fig, left, 3)
    return Drawing(fig, table)


def _variances(context: Context) -> pd.DataFrame:
    """The table of the last run folder that has one, else measured now."""
    given = folders.find(context.runs) if context.runs else []
    found = [run.folder / "variance.csv" for run in given if (run.folder / "variance.csv").exists()]
    return pd.read_csv(found[-1]) if found else _measured(context.quick, context.seed)


@functools.lru_cache(maxsize=4)
def _measured(quick: bool, seed: int) -> pd.DataFrame:
    settings = get_config("tiny" if quick else "paper").variance
    return estimators.variance_table(
        seed,
        theta=settings.theta,
        std=STD,
        k=settings.k,
        sample_sizes=settings.sample_sizes,
        num_estimates=settings.num_estimates,
    )


@figure("pkpo_ascent", title="Ascent on theta with PKPO's estimator ends at the exact optimum of its k (ours)")
def pkpo_ascent(context: Context) -> Drawing:
    """theta over the steps for several k, mean and standard error over seeds; dashed: where max@k is largest."""
    num_rollouts, steps, seeds, rate = 16, 300 if context.quick else 2000, 8 if context.quick else 64, 0.001
    start = get_config("paper").problem.start_theta
    fig, ax = new_figure(aspect=0.8)
    frames = []
    for k, colour in zip((1, 2, 4, 8), _colours(4), strict=True):
        chosen = advantages.get("rloo") if k == 1 else advantages.get("pkpo", k=k, baseline="loo_minus_one")
        step = training.make_step(chosen, seed=context.seed, std=STD, num_rollouts=num_rollouts, learning_rates=(rate,))
        run = jax.jit(scan(step))
        _, recorded = run(training.initial_state(start, 1, seeds), jnp.arange(steps))
        theta = np.asarray(recorded["theta"])[:, 0]
        (mean, error, _), best = spread(theta, axis=1), problem.optimal_theta(k, std=STD)
        name = f"{LABELS['rloo']}" if k == 1 else f"{LABELS['pkpo']} $k={k}$"
        band(ax, np.arange(steps), mean, error, color=colour, label=f"{name}: {mean[-1]:.3f}, exact {best:.3f}")
        ax.axhline(best, color=colour, linestyle="--", linewidth=0.8)
        columns = {"k": k, "step": np.arange(steps), "theta_mean": mean, "standard_error": error}
        frames.append(pd.DataFrame({**columns, "optimal_theta": best}))
    ax.set(xlabel="step", ylabel=r"policy mean $\theta$", ylim=(start, 1.02))
    ax.legend(loc="lower right")
    return Drawing(fig, pd.concat(frames, ignore_index=True))
