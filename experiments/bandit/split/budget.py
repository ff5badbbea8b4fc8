"""The same number of rollouts a step, P prompts x N rollouts: what each split is worth, and what its loss is made of.

A step takes P of the M prompts, drawn without repetition, and moves W by learning_rate times M/P times the sum over
them: in expectation the sum over all M, so that splits differ in three things alone, which three kinds of gradients
take apart:

  expected  every prompt, exact weight: what N costs, the distance of the objective at N from log p;
  prompts   P drawn prompts, exact weight on each: that and the noise of having few prompts;
  sampled   P drawn prompts, N drawn rollouts of each: the whole.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from experiments.bandit.draws import seed_keys
from experiments.bandit.prompts import dynamics, gradients, measures
from experiments.bandit.prompts.methods import Method, Tables, estimator, exact, tables
from experiments.bandit.prompts.problem import Problem, make_problems, pass_rates
from maxrl_jax.runs import keys

GRADIENTS = ("expected", "prompts", "sampled")


class Runs(NamedTuple):
    """All runs, on the host.

    Attributes:
      identities: of every run: method, label, num_rollouts, rollouts_a_step, gradients.
      log_rates: [runs, seeds, steps + 1, M].
      reference: [seeds, steps + 1, M] of exact maximum likelihood.
      params: [runs, seeds, F, C].
    """

    identities: list[dict[str, Any]]
    log_rates: np.ndarray
    reference: np.ndarray
    params: np.ndarray


def splits(config: Any) -> list[tuple[int, int, int]]:
    """(budget, P, N) of every possible split: P = budget / N is whole and at most the number of prompts."""
    settings, most = config.split, config.problem.num_prompts
    every = [(budget, n) for n in settings.num_rollouts for budget in settings.rollouts_a_step]
    return [(budget, budget // n, n) for budget, n in every if budget % n == 0 and 1 <= budget // n <= most]


def on_some(estimate: gradients.Estimate, key: jax.Array, prompts_a_step: Any) -> gradients.Estimate:
    """An estimate of every prompt, kept on P of the M prompts, M/P times, and nothing on the others; key consumed.

    Args:
      estimate: of M prompts.
      key: random key.
      prompts_a_step: P, which may be traced: the same program serves every split.
    """
    num_prompts = estimate.reward_mean.shape[-1]
    taken = (jax.random.permutation(key, num_prompts) < prompts_a_step).astype(estimate.gradient.dtype)
    scaled = estimate.gradient * (taken * num_prompts / prompts_a_step)[:, None]
    return gradients.Estimate(scaled, *(leaf * taken for leaf in estimate[1:]))


@functools.partial(jax.jit, static_argnames=("methods", "num_steps"))
def run_exact(
    problems: Problem, seeds: jax.Array, rate: Any, prompts_a_step: Any, *, methods: tuple[Method, ...], num_steps: int
) -> dynamics.Trajectory:
    """Exact weights on P drawn prompts, [runs, seeds]; run r is methods[r] with P = prompts_a_step[r]."""

    def gradient_of(step: jax.Array, logits: jax.Array) -> gradients.Estimate:
        p = pass_rates(logits, problems.correct)  # [runs, seeds, M]
        weights = jnp.stack([method.weight(own) for method, own in zip(methods, p, strict=True)])
        every = gradients.expected(logits, problems.correct, weights, 1)
        streams = jax.vmap(lambda seed: keys.stream(seed, "prompts", step))(seeds)
        over_seeds = jax.vmap(on_some, in_axes=(0, 0, None))
        return jax.vmap(over_seeds, in_axes=(0, None, 0))(every, streams, prompts_a_step)

    start = dynamics.initial_state(problems)
    start = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(methods), *leaf.shape)), start)
    return dynamics.roll(problems, start, gradient_of, num_steps, rate)


@functools.partial(jax.jit, static_argnames=("num_steps",))
def run_sampled(
    problems: Problem, seeds: jax.Array, rate: Any, forms: Tables, prompts_a_step: jax.Array, *, num_steps: int
) -> dynamics.Trajectory:
    """N drawn rollouts of P drawn prompts, [methods, splits, seeds], for methods with one N."""

    def one(problem: Problem, seed: jax.Array, success: jax.Array, fail: jax.Array, prompts_a_step: jax.Array):
        def gradient_of(step: jax.Array, logits: jax.Array) -> gradients.Estimate:
            key = keys.stream(seed, "rollouts", step)
            every = gradients.from_counts(key, logits, problem.correct, success[0], fail[0])
            return on_some(every, keys.stream(seed, "prompts", step), prompts_a_step)

        return dynamics.roll(problem, dynamics.initial_state(problem), gradient_of, num_steps, rate)

    over_seeds = jax.vmap(one, in_axes=(0, 0, None, None, None))
    over_splits = jax.vmap(over_seeds, in_axes=(None, None, None, None, 0))
    over_methods = jax.vmap(over_splits, in_axes=(None, None, 0, 0, None))
    return over_methods(problems, seeds, forms.success, forms.fail, prompts_a_step)


def run(config: Any) -> Runs:
    """Trains `split.estimators` at every split of every budget, and exact maximum likelihood."""
    settings, every, names = config.split, splits(config), config.split.estimators
    problems, seeds = make_problems(config, settings.num_seeds), seed_keys(config.seed, settings.num_seeds)
    rate, steps, num_prompts = settings.learning_rate, settings.steps, config.problem.num_prompts
    chosen = [(name, split) for name in names for split in every]
    methods = tuple(estimator(name, n) for name, (_, _, n) in chosen)
    some = [p for _, (_, p, _) in chosen]
    # Exact ML and the noise-free runs take every prompt, in one program with those on some.
    found = [
        run_exact(
            problems,
            seeds,
            rate,
            jnp.asarray([num_prompts] * (1 + len(methods)) + some),
            methods=(exact("ml"), *methods, *methods),
            num_steps=steps,
        )
    ]
    identities = [_identity(*one, kind) for kind in GRADIENTS[:2] for one in chosen]
    for n in sorted({n for _, _, n in every}):
        own = [split for split in every if split[2] == n]
        forms = tables([estimator(name, n) for name in names])
        drawn = run_sampled(problems, seeds, rate, forms, jnp.asarray([p for _, p, _ in own]), num_steps=steps)
        found.append(jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), drawn))
        identities += [_identity(name, split, "sampled") for name in names for split in own]
    host = [jax.device_get((part.log_rates, part.params)) for part in found]
    log_rates, params = (np.concatenate(leaves) for leaves in zip(*host, strict=True))
    return Runs(identities, log_rates[1:], log_rates[0], params[1:])


def _identity(name: str, split: tuple[int, int, int], gradients_: str) -> dict[str, Any]:
    budget, prompts_a_step, n = split
    label = f"{name} {prompts_a_step} x {n}"
    return {"method": name, "label": label, "num_rollouts": n, "rollouts_a_step": budget, "gradients": gradients_}


def final(runs: Runs, ks: tuple[int, ...] = (1, 32)) -> pd.DataFrame:
    """A row for each run and seed: distance to exact ML over training; log p and coverage at its end."""
    rows = []
    for identity, log_rates in zip(runs.identities, runs.log_rates, strict=True):
        far = measures.distance(log_rates, runs.reference)
        for seed, last in enumerate(log_rates[:, -1]):
            row = {**identity, "seed": seed, "distance_to_ml": far[seed], "log_likelihood": float(last.mean())}
            rows.append(row | {f"pass@{k}": measures.pass_at_k(last, k) for k in ks})
    for seed, last in enumerate(runs.reference[:, -1]):
        row = {"method": "ml", "label": "exact ml", "gradients": "expected", "seed": seed, "distance_to_ml": 0.0}
        row |= {"log_likelihood": float(last.mean())} | {f"pass@{k}": measures.pass_at_k(last, k) for k in ks}
        rows.append(row)
    return pd.DataFrame(rows)
