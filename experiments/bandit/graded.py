"""Every method on the graded prompts: both likelihoods exactly, estimators at every N, noise-free and sampled."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.bandit import frame, graded_levels
from experiments.bandit.frame import draw_rollouts, draw_steps, even_steps, tidy
from experiments.bandit.graded_levels import Prompts, Table
from experiments.bandit.prompts import shared_checks
from experiments.bandit.prompts.draws import seed_keys
from experiments.bandit.prompts.dynamics import grid
from experiments.bandit.prompts.methods import Method
from experiments.results.drawing import Drawing
from experiments.results.style import COLOURS, LABELS, from_zero, new_figure
from maxrl_jax import advantages, keys
from maxrl_jax.categorical import draw_counts
from maxrl_jax.errors import ConfigError, suggestion
from maxrl_jax.runs.config import checks


class Runs(NamedTuple):
    """All runs, on the host.

    Attributes:
      identities: of every run: method, label, num_rollouts (None for an objective), gradients.
      chances: [runs, seeds, steps + 1, P, L] of every level.
      params: [runs, seeds, P, C], the logits at the end.
    """

    identities: list[dict[str, Any]]
    chances: np.ndarray
    params: np.ndarray


def _ascend(prompts: Prompts, gradient_of: Any, num_steps: int, rate: jax.Array | float):
    """(chances [steps + 1, P, L], logits [P, C]) of plain gradient ascent along ``gradient_of(step, logits)``."""
    num_levels = prompts.levels.shape[-1]

    def advance(logits: jax.Array, step: jax.Array):
        return logits + rate * gradient_of(step, logits), graded_levels.chances(logits, num_levels)

    logits, seen = jax.lax.scan(advance, prompts.base_logits, jnp.arange(num_steps))
    return jnp.concatenate([seen, graded_levels.chances(logits, num_levels)[None]]), logits


def _ascend_weights(weights_of: Any, num_steps: int, rate: jax.Array | float):
    """A noise-free run with the weights a_l that ``weights_of(prompts, chances, *data)`` gives."""

    def one(prompts: Prompts, *data: jax.Array):
        def gradient_of(step: jax.Array, logits: jax.Array) -> jax.Array:
            p = graded_levels.chances(logits, prompts.levels.shape[-1])
            return graded_levels.gradient(logits, weights_of(prompts, p, *data))

        return _ascend(prompts, gradient_of, num_steps, rate)

    return one


@functools.partial(jax.jit, static_argnames=("name", "num_steps"))
def _ascend_objective(prompts: Prompts, rate: jax.Array | float, *, name: str, num_steps: int):
    def weights(prompts: Prompts, p: jax.Array) -> jax.Array:
        return graded_levels.objective_weights(name, prompts.levels, p)

    return grid(_ascend_weights(weights, num_steps, rate), (prompts,))


@functools.partial(jax.jit, static_argnames=("num_steps",))
def _ascend_expected(prompts: Prompts, rate: jax.Array | float, tables: Table, *, num_steps: int):
    """Noise-free runs, [methods, seeds]; of `tables` only `joined` has an axis of methods."""

    def weights(prompts: Prompts, p: jax.Array, joined: jax.Array) -> jax.Array:
        return graded_levels.expected_weights(tables._replace(joined=joined), p)

    return grid(_ascend_weights(weights, num_steps, rate), (prompts,), (tables.joined,))


@functools.partial(jax.jit, static_argnames=("num_steps", "num_rollouts"))
def _ascend_sampled(
    prompts: Prompts, seeds: jax.Array, rate: Any, values: jax.Array, *, num_steps: int, num_rollouts: int
):
    """Runs on drawn answers, [methods, seeds]; all methods of a seed share keys."""

    def one(prompts: Prompts, seed: jax.Array, values: jax.Array):
        def gradient_of(step: jax.Array, logits: jax.Array) -> jax.Array:
            counts = draw_counts(keys.stream(seed, "rollouts", step), logits, num_rollouts)
            return graded_levels.sampled_gradient(counts, logits, values, num_rollouts)

        return _ascend(prompts, gradient_of, num_steps, rate)

    return grid(one, (prompts, seeds), (values,))


def make(config: Any) -> Prompts:
    """The prompts of every seed, stacked."""
    settings = config.graded
    shape = {name: settings[name] for name in ("num_prompts", "answers_each", "middle_rate")}
    ends = {"levels": tuple(settings.levels), "best_range": tuple(settings.best_range)}
    build = jax.vmap(lambda key: graded_levels.make_prompts(keys.stream(key, "problem"), **shape, **ends))
    return jax.jit(build)(seed_keys(config.seed, settings.num_seeds))


def train(config: Any, tell: Any = frame.quiet) -> Runs:
    """Trains everything `config.graded` lists: the exact likelihoods, then for each N noise-free and sampled runs."""
    settings, prompts, seeds = config.graded, make(config), seed_keys(config.seed, config.graded.num_seeds)
    rate, steps, levels = settings.learning_rate, settings.steps, tuple(settings.levels)
    identities, found = [], []
    for name in graded_levels.OBJECTIVES:
        identities.append(Method(name).identity(gradients="expected"))
        found.append([leaf[None] for leaf in _ascend_objective(prompts, rate, name=name, num_steps=steps)])
    for done, n in enumerate(settings.num_rollouts):
        tell(done, len(settings.num_rollouts))
        forms = [graded_levels.table(advantages.get(name), levels, n) for name in settings.estimators]
        values, joined = (jnp.asarray(np.stack(leaves), jnp.float32) for leaves in list(zip(*forms, strict=True))[:2])
        for gradients in ("expected", "sampled"):
            identities += [Method(name, n).identity(gradients=gradients) for name in settings.estimators]
        found.append(_ascend_expected(prompts, rate, forms[0]._replace(joined=joined), num_steps=steps))
        found.append(_ascend_sampled(prompts, seeds, rate, values, num_steps=steps, num_rollouts=n))
    chances, logits = (np.concatenate([jax.device_get(part) for part in leaf]) for leaf in zip(*found, strict=True))
    return Runs(identities, chances, logits)


def curves(config: Any, runs: Runs) -> pd.DataFrame:
    """A row for each run, seed and recorded step: means over prompts of the reward and of the best level's chance."""
    steps = even_steps(runs.chances.shape[2] - 1)
    p = np.take(runs.chances, steps, axis=2).astype(np.float64)
    columns = {"reward": (p @ np.asarray(config.graded.levels)).mean(-1), "best": p[..., -1].mean(-1)}
    return tidy(runs.identities, columns, step=steps)


EXACT = {
    "log_tails": ("tailrl", "exact $\\int \\log P(g>t)\\,dt$"),
    "log_mean": ("maxrl_likelihood", "exact $\\log E[g]$"),
}
"""Of an objective: the estimator whose colour it shares, and its text."""


def over_steps(ax: Axes, curves: pd.DataFrame, num_rollouts: int, y: str) -> None:
    """Both exact likelihoods dashed, and estimators at one N."""
    for name, (colour, text) in EXACT.items():
        rows = curves[curves.method == name].groupby("step")[y].mean()
        ax.plot(rows.index, rows, "--", color=COLOURS[colour], label=text)
    for name, rows in curves[curves.num_rollouts == num_rollouts].groupby("method", sort=False):
        draw_steps(ax, rows, y, color=COLOURS[name], label=LABELS[name])
    from_zero(ax, 1.03)


def over_rollouts(ax: Axes, curves: pd.DataFrame, y: str) -> None:
    """The end of training over N."""
    end = curves[curves.step == curves.step.max()]
    for name, (colour, _) in EXACT.items():
        ax.axhline(end[end.method == name][y].mean(), linestyle="--", color=COLOURS[colour])
    for name, rows in end[end.num_rollouts.notna()].groupby("method", sort=False):
        draw_rollouts(ax, rows, y, color=COLOURS[name])
    from_zero(ax, 1.03)


def draw_graded(curves: pd.DataFrame) -> Drawing:
    """Reward and the chance of a best answer over steps at the largest N, and the latter over N."""
    largest = int(curves.num_rollouts.max())
    fig, (left, centre, right) = new_figure(1, 3, width="page", aspect=0.95)
    over_steps(left, curves, largest, "reward")
    left.set(ylabel="mean reward", title=f"(a) $N={largest}$; dots: sampled")
    over_steps(centre, curves, largest, "best")
    centre.set(ylabel="chance of the best", title=f"(b) $N={largest}$")
    over_rollouts(right, curves, "best")
    right.set(ylabel="chance of the best, end", title="(c) dashed: exact")
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Drawing(fig, curves)


def check(config: Any) -> None:
    """Raises ConfigError for the first field that is wrong."""
    shared_checks.training(config, "graded", "num_prompts", "answers_each")
    levels = checks.tuple_of(config, "graded.levels", float, min_length=2)
    if len(levels) > 3 or list(levels) != sorted(set(levels)) or not 0 <= levels[0] < levels[-1] <= 1:
        raise ConfigError("graded.levels", levels, "two or three ascending numbers from 0 to 1")
    shared_checks.rates(config, "graded.best_range")
    room = 1 - config.graded.best_range[1]
    checks.in_range(config, "graded.middle_rate", 0.0, room, low_open=True, high_open=True)
    checks.tuple_of(config, "graded.num_rollouts", int, low=2)
    fits = [  # of rewards in [0, 1], without hyper-parameters that have to be chosen
        entry.name
        for entry in advantages.TABLE.values()
        if entry.reward_kind != "binary" and entry.binary_form is not None
        if not {"k", "order", "coefficients"} & set(entry.defaults)
    ]
    for name in checks.tuple_of(config, "graded.estimators", str):
        if name not in fits:
            raise ConfigError("graded.estimators", name, f"names among {', '.join(fits)}{suggestion(name, fits)}")


RUN = frame.ending_in_tables(
    train,
    lambda config, runs: {"curves": curves(config, runs)},
    lambda config, made: {"graded_answers": (draw_graded, made["curves"])},
    frame.metrics_of_curves("label", "gradients"),
)
STUDY = frame.Study(("graded",), check, RUN)
