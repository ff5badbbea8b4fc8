"""PKPO's one-dimensional problem: ascent on theta, and the variance of six estimators.

    python -m experiments.gaussian --config=configs/gaussian.py:tiny --workdir=DIR

Trains theta with the estimator of `rl.advantage`, logs theta of every learning rate and seed a step, and writes
`variance.csv`: the data of PKPO Figure 8, each mean beside the exact derivative.
"""

from __future__ import annotations

import os
from typing import Any

import jax
import numpy as np

from experiments.gaussian import estimators, problem, training
from experiments.results.spread import spread, with_error
from maxrl_jax.advantages import Estimator
from maxrl_jax.devices import sharding
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs import launch
from maxrl_jax.runs.config import checks, estimator
from maxrl_jax.runs.folder.run import Run, open_run
from maxrl_jax.runs.loop.chunks import scan
from maxrl_jax.runs.loop.phase import Phase
from maxrl_jax.runs.loop.steps import run_steps


def check(config: Any) -> list[tuple[int, Estimator]]:
    """Raises ConfigError for what `run` could not do; returns the estimator of each phase."""
    checks.positive(config, "problem.std")
    checks.in_range(config, "problem.start_theta")
    checks.positive_int(config, "rl.steps")
    num_rollouts = checks.positive_int(config, "rl.num_rollouts")
    checks.positive_int(config, "rl.num_seeds")
    checks.positive_int(config, "rl.steps_per_call")
    checks.tuple_of(config, "rl.learning_rates", float, low=0.0)
    phases = estimator.phases(config, "rl.advantage", num_rollouts=num_rollouts, reward_kind="real")
    checks.in_range(config, "variance.theta")
    k = checks.integer(config, "variance.k", low=2)
    checks.integer(config, "variance.num_estimates", low=2)
    for n in checks.tuple_of(config, "variance.sample_sizes", int, low=k):
        if n % k:
            sizes = config.variance.sample_sizes
            raise ConfigError("variance.sample_sizes", sizes, f"multiples of variance.k = {k}")
    return phases


def run(config: Any, workdir: str | os.PathLike) -> dict[str, Any]:
    """Trains, measures the variances, writes the run folder; the same folder again resumes.

    Returns:
        The final record: theta and its exact optimum, max@k reached and max@k at the optimum, per learning rate.
    """
    phases = check(config)
    state = training.initial_state(config.problem.start_theta, len(config.rl.learning_rates), config.rl.num_seeds)
    state = sharding.shard_if_even(state, checks.mesh(config), axis=1)  # seeds are independent
    settings = {"seed": config.seed, "std": config.problem.std}
    settings |= {name: config.rl[name] for name in ("num_rollouts", "learning_rates")}
    chunks = [(first, scan(training.make_step(advantage, **settings))) for first, advantage in phases]
    with open_run(config, workdir, "gaussian") as opened:
        phase = Phase(
            name="train",
            chunk=chunks,
            num_steps=config.rl.steps,
            steps_per_call=config.rl.steps_per_call,
            finite=("gradient",),
            show=("theta", "reward_mean"),
        )
        state = run_steps(opened, phase, state)
        _write_variances(config, opened)
        theta = np.asarray(jax.device_get(state["params"]["theta"]))
        k = training.estimated_k(phases[-1][1], config.rl.num_rollouts)
        final = _summary(config, theta, k)
        for rate, mean, error in zip(config.rl.learning_rates, final["theta_mean"], final["theta_error"], strict=True):
            opened.say(f"learning rate {rate:g}: theta {with_error(mean, error, 4)} (standard error over seeds)")
        if k is not None:
            opened.say(f"max@{k} is largest at theta {final['theta_optimum']:.6f}")
        return opened.finish(state["params"], **final)


def _write_variances(config: Any, opened: Run) -> None:
    """variance.csv in the run folder, and the largest |z| of a mean against the exact derivative."""
    table = estimators.variance_table(config.seed, std=config.problem.std, **config.variance)
    if jax.process_index() == 0:
        (opened.path / "variance.csv").write_text(table.to_csv(index=False))
    largest = table["z"].abs().max()
    opened.say(f"{len(table)} estimator means within {largest:.2f} standard errors of the exact derivative")


def _summary(config: Any, theta: np.ndarray, k: int | None) -> dict[str, Any]:
    """Final values per learning rate; only an estimator of max@k has an optimum to compare with."""
    mean, error, _ = spread(theta, axis=1)
    values: dict[str, Any] = {"theta_mean": mean, "theta_error": error}
    if k is not None:
        std = config.problem.std
        best = problem.optimal_theta(k, std=std)
        values["theta_optimum"] = best
        values["max_at_k"] = problem.max_at_k(theta, k, std=std).mean(axis=1)
        values["max_at_k_optimum"] = float(problem.max_at_k(best, k, std=std))
    return values


if __name__ == "__main__":
    launch.main(run, check, config_file="configs/gaussian.py")
