"""Every method on the graded prompts: both likelihoods exactly, estimators at every N, noise-free and sampled."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from experiments.bandit.draws import seed_keys
from experiments.bandit.graded import levels as graded
from experiments.bandit.graded.levels import Prompts
from experiments.bandit.output import even_steps
from maxrl_jax import advantages
from maxrl_jax.categorical import draw_counts
from maxrl_jax.runs import keys


class Runs(NamedTuple):
    """All runs, on the host.

    Attributes:
      identities: of every run: method, label, num_rollouts (None for an objective), gradients.
      levels: the rewards.
      chances: [runs, seeds, steps + 1, P, L] of every level.
      logits: [runs, seeds, P, C] at the end.
    """

    identities: list[dict[str, Any]]
    levels: tuple[float, ...]
    chances: np.ndarray
    logits: np.ndarray


def _ascend(prompts: Prompts, gradient_of: Any, num_steps: int, rate: jax.Array | float):
    """(chances [steps + 1, P, L], logits [P, C]): plain gradient ascent, each prompt by its own gradient."""
    num_levels = prompts.levels.shape[-1]

    def advance(logits: jax.Array, step: jax.Array):
        return logits + rate * gradient_of(step, logits), graded.chances(logits, num_levels)

    logits, seen = jax.lax.scan(advance, prompts.base_logits, jnp.arange(num_steps))
    return jnp.concatenate([seen, graded.chances(logits, num_levels)[None]]), logits


@functools.partial(jax.jit, static_argnames=("name", "num_steps"))
def _ascend_objective(prompts: Prompts, rate: jax.Array | float, *, name: str, num_steps: int):
    def one(prompts: Prompts):
        def gradient_of(step: jax.Array, logits: jax.Array) -> jax.Array:
            p = graded.chances(logits, prompts.levels.shape[-1])
            return graded.gradient(logits, graded.objective_weights(name, prompts.levels, p))

        return _ascend(prompts, gradient_of, num_steps, rate)

    return jax.vmap(one)(prompts)


@functools.partial(jax.jit, static_argnames=("num_steps",))
def _ascend_expected(prompts: Prompts, rate: jax.Array | float, tables: graded.Table, *, num_steps: int):
    """Noise-free runs, [methods, seeds]; of `tables` only `joined` has an axis of methods."""

    def one(prompts: Prompts, joined: jax.Array):
        def gradient_of(step: jax.Array, logits: jax.Array) -> jax.Array:
            p = graded.chances(logits, prompts.levels.shape[-1])
            return graded.gradient(logits, graded.expected_weights(tables._replace(joined=joined), p))

        return _ascend(prompts, gradient_of, num_steps, rate)

    return jax.vmap(jax.vmap(one, in_axes=(0, None)), in_axes=(None, 0))(prompts, tables.joined)


@functools.partial(jax.jit, static_argnames=("num_steps", "num_rollouts"))
def _ascend_sampled(
    prompts: Prompts, seeds: jax.Array, rate: jax.Array | float, values: jax.Array, *, num_steps: int, num_rollouts: int
):
    """Runs on drawn answers, [methods, seeds]; all methods of a seed share keys."""

    def one(prompts: Prompts, seed: jax.Array, values: jax.Array):
        def gradient_of(step: jax.Array, logits: jax.Array) -> jax.Array:
            counts = draw_counts(keys.stream(seed, "rollouts", step), logits, num_rollouts)
            return graded.sampled_gradient(counts, logits, values, num_rollouts)

        return _ascend(prompts, gradient_of, num_steps, rate)

    return jax.vmap(jax.vmap(one, in_axes=(0, 0, None)), in_axes=(None, None, 0))(prompts, seeds, values)


def make(config: Any) -> Prompts:
    """The prompts of every seed, stacked."""
    settings = config.graded
    shape = {name: settings[name] for name in ("num_prompts", "answers_each", "middle_rate")}
    ends = {"levels": tuple(settings.levels), "best_range": tuple(settings.best_range)}
    build = jax.vmap(lambda key: graded.make_prompts(keys.stream(key, "problem"), **shape, **ends))
    return jax.jit(build)(seed_keys(config.seed, settings.num_seeds))


def run(config: Any) -> Runs:
    """Trains everything `config.graded` lists: the exact likelihoods, then for each N noise-free and sampled runs."""
    settings, prompts, seeds = config.graded, make(config), seed_keys(config.seed, config.graded.num_seeds)
    rate, steps, levels = settings.learning_rate, settings.steps, tuple(settings.levels)
    identities, found = [], []
    for name in graded.OBJECTIVES:
        identities.append(_identity(name, f"exact {name}", None, "expected"))
        found.append([leaf[None] for leaf in _ascend_objective(prompts, rate, name=name, num_steps=steps)])
    for n in settings.num_rollouts:
        forms = [graded.table(advantages.get(name), levels, n) for name in settings.estimators]
        values, joined = (jnp.asarray(np.stack(leaves), jnp.float32) for leaves in list(zip(*forms, strict=True))[:2])
        for gradients in ("expected", "sampled"):
            identities += [_identity(name, f"{name} N={n}", n, gradients) for name in settings.estimators]
        found.append(_ascend_expected(prompts, rate, forms[0]._replace(joined=joined), num_steps=steps))
        found.append(_ascend_sampled(prompts, seeds, rate, values, num_steps=steps, num_rollouts=n))
    chances, logits = (np.concatenate([jax.device_get(part) for part in leaf]) for leaf in zip(*found, strict=True))
    return Runs(identities, levels, chances, logits)


def _identity(method: str, label: str, num_rollouts: int | None, gradients: str) -> dict[str, Any]:
    return {"method": method, "label": label, "num_rollouts": num_rollouts, "gradients": gradients}


def curves(runs: Runs, count: int = 60) -> pd.DataFrame:
    """A row for each run, seed and recorded step: means over prompts of the reward and of the best level's chance."""
    steps = even_steps(runs.chances.shape[2] - 1, count)
    frames = []
    for identity, run_chances in zip(runs.identities, runs.chances, strict=True):
        for seed, p in enumerate(run_chances[:, steps].astype(np.float64)):
            columns = {"reward": (p @ np.asarray(runs.levels)).mean(-1), "best": p[..., -1].mean(-1)}
            frames.append(pd.DataFrame({**identity, "seed": seed, "step": steps, **columns}))
    return pd.concat(frames, ignore_index=True)
