"""One method on the prompt bandit, as a resumable run: metrics, checkpoints, phases of k, all devices."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.bandit.frame import Study
from experiments.bandit.prompts import gradients, measures, shared_checks
from experiments.bandit.prompts.dynamics import State, apply, initial_state
from experiments.bandit.prompts.methods import Method
from experiments.bandit.prompts.problem import (
    STRATA,
    Problem,
    log_pass_rates,
    make_problem,
    pass_rates,
    problem_settings,
    strata_of,
)
from maxrl_jax import keys, losses, objectives
from maxrl_jax.advantages import Estimator
from maxrl_jax.devices import sharding
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config import checks, estimator
from maxrl_jax.runs.folder.run import Run
from maxrl_jax.runs.loop.chunks import scan
from maxrl_jax.runs.loop.phase import Every, Phase
from maxrl_jax.runs.loop.steps import run_steps


def check(config: Any) -> None:
    """Raises ConfigError for the first field that is wrong."""
    shared_checks.problem(config)
    checks.positive_int(config, "rl.steps")
    checks.positive_int(config, "rl.steps_per_call")
    checks.positive_int(config, "rl.num_rollouts")
    checks.positive(config, "rl.learning_rate")
    checks.one_of(config, "rl.sampling", gradients.SAMPLINGS)
    checks.non_negative_int(config, "eval.every_steps")
    shared_checks.ks(config, "eval.ks")
    phases(config)


def phases(config: Any) -> list[tuple[int, Estimator]]:
    """The estimator in each phase, checked.

    Raises:
      ConfigError: see `config.advantage`; or counts and expected asked of an estimator that has no binary form.
    """
    found = estimator.phases(config, "rl.advantage", num_rollouts=config.rl.num_rollouts, provides=gradients.PROVIDES)
    if config.rl.sampling == "rollouts":
        return found
    for _, advantage in found:
        try:
            objectives.binary_form(advantage, config.rl.num_rollouts)
        except ValueError as error:
            raise ConfigError("rl.sampling", config.rl.sampling, f"rollouts, as {error}") from None
    return found


def estimate(
    config: Any, advantage: Estimator, problem: Problem, logits: jax.Array, step: jax.Array
) -> gradients.Estimate:
    """The estimate of one step, by `rl.sampling`."""
    num_rollouts, key = config.rl.num_rollouts, keys.stream(config.seed, "rollouts", step)
    if config.rl.sampling == "rollouts":
        return gradients.from_rollouts(key, logits, problem.correct, advantage, num_rollouts)
    if config.rl.sampling == "counts":
        success, fail = map(jnp.asarray, objectives.binary_form(advantage, num_rollouts))
        return gradients.from_counts(key, logits, problem.correct, success, fail)
    method = Method(advantage.name, num_rollouts, advantage.hyper, advantage)
    weights = method.weight(pass_rates(logits, problem.correct))
    return gradients.expected(logits, problem.correct, weights, num_rollouts)


def make_step(config: Any, advantage: Estimator, problem: Problem, mesh: Any):
    """``step(state, i) -> (state, metrics)`` of one phase."""

    def step(state: State, index: jax.Array) -> tuple[State, dict[str, jax.Array]]:
        logits = sharding.constrain_batch(problem.logits(state.params), mesh)
        found = estimate(config, advantage, problem, logits, index)
        metrics = {
            # The exact negative log-likelihood: it means the same for every method, unlike a surrogate's value.
            "loss": -jnp.mean(log_pass_rates(logits, problem.correct)),
            "reward_mean": jnp.mean(found.reward_mean),
            "gradient_norm": jnp.linalg.norm(problem.params_gradient(found.gradient)),
            "entropy": jnp.mean(losses.entropy(logits)),
            "all_fail": jnp.mean(1 - found.any_success),
            "all_solved": jnp.mean(found.all_success),
        }
        state = apply(problem, state, found, config.rl.learning_rate)
        return state, {**metrics, "solved": jnp.mean(1 - state.unsolved)}

    return step


def make_evaluation(config: Any, problem: Problem):
    """``evaluate(state, step) -> {"eval/...": value}``: exact, as the pass rates are known."""
    strata = strata_of(np.geomspace(*config.problem.pass_rate_range, config.problem.num_prompts))
    look = jax.jit(lambda params: log_pass_rates(problem.logits(params), problem.correct))

    def evaluate(state: State, step: int) -> dict[str, float]:
        rates = np.asarray(look(state.params))
        values = {f"eval/pass@{k}": float(measures.pass_at_k(rates, k)) for k in config.eval.ks}
        values["eval/log_likelihood"] = float(rates.mean())
        for index in range(len(STRATA)):
            if (strata == index).any():
                name = measures.stratum_name(index).replace(" ", "_")
                values[f"eval/pass@1_initially_{name}"] = float(np.exp(rates[strata == index]).mean())
        return values

    return evaluate


def run(open_run: Run, config: Any) -> dict[str, Any]:
    """Trains to `rl.steps`, from where the folder stands.

    Returns:
      The final record: final/params_sha256, final/pass@k, ...
    """
    mesh = checks.mesh(config)
    checks.batch(config, "problem.num_prompts", mesh)
    problem = make_problem(keys.stream(config.seed, "problem"), **problem_settings(config.problem))
    state = sharding.replicate(initial_state(problem), mesh)
    chunks = [(first, scan(make_step(config, a, problem, mesh))) for first, a in phases(config)]
    evaluate = make_evaluation(config, problem)
    hooks = [Every(config.eval.every_steps, evaluate, at_start=True)]
    steps, per_call = config.rl.steps, config.rl.steps_per_call
    phase = Phase(name="train", chunk=chunks, num_steps=steps, steps_per_call=per_call, every=hooks)
    state = run_steps(open_run, phase, state)
    ends = {name.removeprefix("eval/"): value for name, value in evaluate(state, config.rl.steps).items()}
    return open_run.finish(state.params, **ends)


STUDY = Study(("problem", "rl", "eval"), check, run)
