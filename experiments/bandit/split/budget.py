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
from experiments.bandit.prompts.methods import Method, estimator, exact, tables
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


def splits(budget: int, num_prompts: int) -> list[tuple[int, int]]:
    """(P, N) with P N = budget, N a power of two from 2, and P at most the number of prompts there are."""
    sizes = [2**i for i in range(1, budget.bit_length()) if budget % 2**i == 0]
    return [(budget // n, n) for n in sizes if budget // n <= num_prompts]


def scattered(estimate: gradients.Estimate, chosen: jax.Array, num_prompts: int) -> gradients.Estimate:
    """The estimates of P chosen prompts in the place of all M, M/P times; 0 where none was chosen."""
    scale = num_prompts / chosen.shape[0]

    def put(leaf: jax.Array, factor: float) -> jax.Array:
        return jnp.zeros((num_prompts, *leaf.shape[1:]), leaf.dtype).at[chosen].set(factor * leaf)

    return gradients.Estimate(put(estimate.gradient, scale), *(put(leaf, 1.0) for leaf in estimate[1:]))


@functools.partial(jax.jit, static_argnames=("method", "kind", "prompts_a_step", "num_steps"))
def train(
    problems: Problem, seeds: jax.Array, rate: Any, *, method: Method, kind: str, prompts_a_step: int, num_steps: int
) -> dynamics.Trajectory:
    """One estimator at one split with one of GRADIENTS, [seeds]."""
    form = [jnp.asarray(leaf[0, 0], jnp.float32) for leaf in tables([method])[:2]]

    def one(problem: Problem, seed: jax.Array) -> dynamics.Trajectory:
        num_prompts = problem.correct.shape[0]

        def gradient_of(step: jax.Array, logits: jax.Array) -> gradients.Estimate:
            order = jax.random.permutation(keys.stream(seed, "prompts", step), num_prompts)
            chosen = jnp.arange(num_prompts) if kind == "expected" else order[:prompts_a_step]
            own, correct = logits[chosen], problem.correct[chosen]
            if kind == "sampled":
                found = gradients.from_counts(keys.stream(seed, "rollouts", step), own, correct, *form)
            else:
                weights = method.weight(pass_rates(own, correct))
                found = gradients.expected(own, correct, weights, method.num_rollouts or 1)
            return scattered(found, chosen, num_prompts)

        return dynamics.roll(problem, dynamics.initial_state(problem), gradient_of, num_steps, rate)

    return jax.vmap(one)(problems, seeds)


def run(config: Any) -> Runs:
    """Trains `split.estimators` at every split of every budget, and exact maximum likelihood."""
    settings = config.split
    problems, seeds = make_problems(config, settings.num_seeds), seed_keys(config.seed, settings.num_seeds)
    rate, steps, num_prompts = settings.learning_rate, settings.steps, config.problem.num_prompts
    reference = dynamics.run_expected(problems, rate, methods=(exact("ml"),), num_steps=steps)
    identities, found = [], []
    for name in settings.estimators:
        for budget in settings.rollouts_a_step:
            for prompts_a_step, n in splits(budget, num_prompts):
                method = estimator(name, n)
                for kind in GRADIENTS:
                    one = train(
                        problems,
                        seeds,
                        rate,
                        method=method,
                        kind=kind,
                        prompts_a_step=prompts_a_step if kind != "expected" else num_prompts,
                        num_steps=steps,
                    )
                    found.append(jax.device_get((one.log_rates, one.params)))
                    identity = {"method": name, "label": f"{name} {prompts_a_step} x {n}", "num_rollouts": n}
                    identities.append({**identity, "rollouts_a_step": budget, "gradients": kind})
    log_rates, params = (np.stack(leaf) for leaf in zip(*found, strict=True))
    return Runs(identities, log_rates, np.asarray(reference.log_rates[0]), params)


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
