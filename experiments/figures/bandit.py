"""The bandits: MaxRL and PKPO in miniature, rewards beyond 0 and 1, MaxPO's Figures 1, 4, 5 (constants ours)."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from configs.bandit import get_config
from experiments.bandit import compare, graded, pkpo, regimes_draw, split, two_rewards, verifier
from experiments.bandit import compare_draw as draw
from experiments.bandit.maxpo import draw as maxpo_drawing
from experiments.bandit.maxpo import study as maxpo_study
from experiments.bandit.prompts import methods, variance
from experiments.bandit.prompts.problem import make_problems, pass_rate_gradient, pass_rates
from experiments.figures.registry import Context, Skipped, figure
from experiments.results.drawing import Drawing
from experiments.results.style import COLOURS, LABELS, from_zero, legend, new_figure
from maxrl_jax import keys

MEASURED = ("reinforce", "rloo", "grpo", "maxpo", "maxrl")  # whose gradient variance is drawn
VARIANCE_ROLLOUTS = 16


def _config(variant: str, context: Context) -> Any:
    config = get_config(variant + ("_quick" if context.quick else ""))
    config.seed = context.seed
    return config


@functools.lru_cache(maxsize=4)
def _comparison(variant: str, context: Context) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """(curves, final, strata), kept: two figures share them."""
    config = _config(variant, context)
    curves, final, strata = compare.tables(config, compare.train(config)).values()
    return curves, final, strata


def _gradient_norms(config: Any, num_rollouts: int) -> pd.DataFrame:
    """|w(p) grad p| of every prompt before training, for objectives and for estimators at one N."""
    problem = jax.tree.map(lambda leaf: leaf[0], make_problems(config, 1))
    p = pass_rates(problem.base_logits, problem.correct)
    norms = np.linalg.norm(pass_rate_gradient(problem.base_logits, problem.correct), axis=-1)
    shown = [methods.exact(name) for name in ("ml", "rl", "grpo")]
    shown += [methods.estimator(name, num_rollouts) for name in ("grpo", "maxrl")]
    frames = []
    for method in shown:
        columns = {"label": method.label, "method": method.name, "pass_rate": np.asarray(p)}
        frames.append(pd.DataFrame({**columns, "gradient_norm": np.asarray(method.weight(p)) * norms}))
    return pd.concat(frames, ignore_index=True)


def _norm_panel(ax: Axes, table: pd.DataFrame, num_rollouts: int) -> None:
    for label, rows in table.groupby("label", sort=False):
        name = rows.method.iloc[0]
        line = "-" if str(label).startswith("exact") else "--"
        ax.loglog(rows.pass_rate, rows.gradient_norm, line, color=COLOURS[name])
    ax.set(xlabel="initial pass rate", ylabel="gradient norm", title=f"dashed: $N={num_rollouts}$")


@figure("prompt_bandit", title="The prompt bandit: exact ML, RL, GRPO and MaxRL at N = 1..1024, noise-free and sampled")
def prompt_bandit(context: Context) -> Drawing:
    """Six panels; the last has fewer features than prompts, so that the objectives end in different places."""
    curves, final, _ = _comparison("prompts", context)
    _, shared, _ = _comparison("shared", context)
    norms = _gradient_norms(_config("prompts", context), VARIANCE_ROLLOUTS)
    lines = draw.lines_of(final)
    fig, axes = new_figure(2, 3, width="page", aspect=0.9)
    draw.over_steps(axes[0, 0], curves, lines, "pass@1")
    axes[0, 0].set(ylabel="pass@1", title="(a) learning curves")
    from_zero(axes[0, 0], 1.03)
    draw.coverage(axes[0, 1], final, lines)
    axes[0, 1].set_title("(b) coverage, tabular")
    draw.distance_over_rollouts(axes[0, 2], final)
    axes[0, 2].set_title("(c) distance to exact ML")
    _norm_panel(axes[1, 0], norms, VARIANCE_ROLLOUTS)
    axes[1, 0].set_title(f"(d) before training; dashed: $N={VARIANCE_ROLLOUTS}$")
    estimators = [line for line in lines if not line["label"].startswith("exact")]
    draw.over_steps(axes[1, 1], curves, estimators, "any_success")
    axes[1, 1].set(ylabel="prompts with a success", title="(e) share with $K\\geq 1$")
    from_zero(axes[1, 1], 1.03)
    draw.coverage(axes[1, 2], shared, draw.lines_of(shared))
    axes[1, 2].set_title("(f) coverage, shared features")
    legend(fig, axes[0, 0], 5)
    parts = {"curves": curves, "final": final, "final, shared features": shared, "gradient norm": norms}
    return Drawing(fig, pd.concat([table.assign(part=name) for name, table in parts.items()], ignore_index=True))


def variance_table(context: Context) -> pd.DataFrame:
    """Exact and sampled total variance of the gradient at p = 1e-4 .. 0.1, and the squared mean, at N = 16."""
    num_batches = 2_000 if context.quick else 200_000
    rates = np.geomspace(1e-4, 0.1, 7)
    key = jax.random.key(context.seed)
    problem = variance.prompts_at(keys.stream(key, "prompts"), rates, 16)
    frames = []
    for name in MEASURED:
        hyper = {"k": 8} if name == "maxpo" else {}
        method = methods.estimator(name, VARIANCE_ROLLOUTS, **hyper)
        square, exact = variance.exact(problem, method)
        drawn = variance.sampled(keys.stream(key, f"variance {name}"), problem, method, num_batches)
        columns = {"method": name, "pass_rate": rates, "squared_mean": square, "variance": exact, "sampled": drawn}
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def _variance_panels(top: Axes, bottom: Axes, table: pd.DataFrame) -> None:
    for name, rows in table.groupby("method", sort=False):
        text = LABELS[name] + (", $k=8$" if name == "maxpo" else "")
        top.loglog(rows.pass_rate, rows.variance, color=COLOURS[name], label=text)
        top.loglog(rows.pass_rate, rows["sampled"].where(rows["sampled"] > 0), ".", color=COLOURS[name])
        bottom.loglog(rows.pass_rate, rows.squared_mean / rows.variance, color=COLOURS[name])
    top.set(ylabel="total variance", xlabel="pass rate $p$")
    bottom.set(ylabel="|mean|$^2$ / variance", xlabel="pass rate $p$")
    bottom.legend(*top.get_legend_handles_labels(), handlelength=1.2, labelspacing=0.2, loc="upper left")


@figure("difficulty_strata", title="The prompt bandit by initial pass rate: pass@1, steps, gradient variance")
def difficulty_strata(context: Context) -> Drawing:
    """Results by stratum of initial pass rate, and the exact gradient variance on hard prompts."""
    _, _, strata = _comparison("prompts", context)
    labels, spread = draw.bar_labels(strata), variance_table(context)
    fig, axes = new_figure(2, 2, width="page", aspect=0.62)
    draw.bars(axes[0, 0], strata, labels, "final pass@1")
    axes[0, 0].set(ylabel="pass@1 at the end", ylim=(0, 1.03), title="(a) bars: noise-free; dots: sampled")
    draw.steps_panel(axes[0, 1], strata, labels)
    axes[0, 1].set_title("(b) triangles: 50 % not reached")
    _variance_panels(axes[1, 0], axes[1, 1], spread)
    axes[1, 0].set_title(f"(c) $N={VARIANCE_ROLLOUTS}$; lines: exact; dots: sampled")
    axes[1, 1].set_title("(d) signal to noise of one estimate")
    legend(fig, axes[0, 0], 6)
    parts = {"strata": strata, "gradient variance": spread}
    return Drawing(fig, pd.concat([table.assign(part=name) for name, table in parts.items()], ignore_index=True))


@figure("pkpo_miniature", title="PKPO Figures 2-5 in miniature: k_opt x k_eval, annealed k, a hard set (not an LLM)")
def pkpo_miniature(context: Context) -> Drawing:
    """Choosing and annealing k where prompts share parameters; see experiments/bandit/pkpo.py."""
    config = _config("pkpo", context)
    table = pkpo.table(config, pkpo.train(config))
    return pkpo.draw_pkpo(table, config.pkpo.num_rollouts, config.pkpo.anneal_step)


@figure("two_rewards", title="Two rewards combined before or after normalisation, under GRPO and MaxRL")
def two_rewards_figure(context: Context) -> Drawing:
    """Star: start; dots: end. Decoupled MaxRL climbs log p1 + log p2 and keeps both rewards where they conflict."""
    return two_rewards.draw_two_rewards(two_rewards.table(two_rewards.train(_config("two_rewards", context))))


@figure("graded_answers", title="Answers worth 0, 1/2 or 1: TailRL and log E[g] against RLOO and GRPO")
def graded_answers(context: Context) -> Drawing:
    """TailRL leaves the half-right answer for the right one; log E[g], like RL, is content with it."""
    config = _config("graded", context)
    return graded.draw_graded(graded.curves(config, graded.train(config)))


@figure("verifier_errors", title="A verifier that errs: exact and measured weight, and what training then reaches")
def verifier_errors(context: Context) -> Drawing:
    """False negatives cost nothing but speed; false positives cap the weight at 1/a and with it the reach."""
    config = _config("verifier", context)
    weights = verifier.weights(config, config.verifier.weight_batches)
    return verifier.draw_verifier(weights, verifier.by_prompt(config, verifier.train(config)))


@figure("rollouts_split", title="A step's rollouts split P x N: distance to exact ML, its parts, and coverage")
def rollouts_split(context: Context) -> Drawing:
    """A larger N is a better objective on fewer prompts a step: see where the drawn curve turns."""
    return split.draw_split(split.final(split.train(_config("split", context))))


@figure("regimes", title="Which method is ahead over N, base pass rate, optimizer and steps", needs_runs=True)
def regimes(context: Context) -> Drawing:
    """Prompts that share features: methods tie at pass@1, and MaxRL leads at pass@16 where N p is above 1."""
    tables = [run / "ahead.csv" for run in context.runs if (run / "ahead.csv").exists()]
    if not tables:
        raise Skipped("no run of the bandit's study regimes is among the runs")
    return regimes_draw.draw_regimes(pd.read_csv(tables[0]))


@functools.lru_cache(maxsize=6)
def _table(part: str, context: Context) -> pd.DataFrame:
    """A table of the study, kept: Figure 1 shares its variances with Figures 4 and 5."""
    return getattr(maxpo_study, part)(_config("maxpo", context))


@figure("maxpo_fig1", title="MaxPO Figure 1: error of the mean gradient, and total variance over actions and k")
def maxpo_fig1(context: Context) -> Drawing:
    """EI and EI+L2O fall as 1/sqrt(M), EI+L1O stops at its bias; L2O narrows EI most with many actions."""
    parts = ("error_table", "variance_over_actions", "variance_over_k")
    found = [_table(part, context) for part in parts]
    return maxpo_drawing.draw_figure_1(*found, _config("maxpo", context).arms.error_rollouts)


@figure("maxpo_fig4", title="MaxPO Figure 4: total variance over the number of actions, for several N")
def maxpo_fig4(context: Context) -> Drawing:
    """Total variance of EI, EI+L2O and EI+L1O over the number of actions."""
    return maxpo_drawing.draw_variance(_table("variance_over_actions", context), "actions")


@figure("maxpo_fig5", title="MaxPO Figure 5: total variance over k, for several N")
def maxpo_fig5(context: Context) -> Drawing:
    """Total variance of EI, EI+L2O and EI+L1O over k."""
    return maxpo_drawing.draw_variance(_table("variance_over_k", context), "k")
