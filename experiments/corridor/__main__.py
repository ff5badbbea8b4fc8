"""The corridor of MaxPO appendix G.2: which estimators get past a bias that pays.

    python -m experiments.corridor --config=configs/corridor.py:tiny --workdir=DIR

Trains every method of the config at every N and seed in one compile, and logs for each the exact expected
return, the probability of the biased action, and the gradient variance of MaxPO's estimator (EI + L2O) over that of
expected improvement (EI) at MaxPO's parameters.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import jax
import numpy as np

from experiments.corridor import environment, learner, variance
from experiments.corridor.learner import Method
from experiments.results.spread import spread, with_error
from maxrl_jax import advantages, keys
from maxrl_jax.devices import sharding
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs import launch
from maxrl_jax.runs.config import checks, estimator
from maxrl_jax.runs.folder.run import open_run
from maxrl_jax.runs.loop.chunks import scan
from maxrl_jax.runs.loop.phase import Every, Phase
from maxrl_jax.runs.loop.steps import run_steps

Phases = list[tuple[int, dict[str, Method]]]


def check(config: Any) -> Phases:
    """Raises ConfigError for what `run` could not do; returns the methods from each step of a schedule on."""
    checks.integer(config, "corridor.num_states", low=2)
    checks.in_range(config, "corridor.action_one_share", 0.0, 1.0)
    checks.in_range(config, "corridor.second_step_share", 0.0, 1.0)
    checks.non_negative_int(config, "corridor.layout_seed")
    checks.positive_int(config, "rl.steps")
    checks.positive_int(config, "rl.num_seeds")
    checks.positive_int(config, "rl.steps_per_call")
    checks.positive(config, "rl.learning_rate")
    checks.tuple_of(config, "rl.num_rollouts", int, low=1)
    checks.non_negative_int(config, "variance.every_steps")
    checks.positive_int(config, "variance.num_batches")
    if not config.methods:
        raise ConfigError("methods", None, "at least one method", shown="none")
    schedules = {name: _schedule(config, name) for name in config.methods}
    starts = sorted({start for schedule in schedules.values() for start, _ in schedule})
    return [(start, {name: _at(schedule, start) for name, schedule in schedules.items()}) for start in starts]


def _schedule(config: Any, name: str) -> list[tuple[int, Method]]:
    coefficient = checks.in_range(config, f"methods.{name}.entropy_coef", 0.0)
    key = f"methods.{name}.advantage"
    phases = [estimator.phases(config, key, num_rollouts=n, reward_kind="real") for n in config.rl.num_rollouts]
    return [(start, Method(advantage, coefficient)) for start, advantage in phases[0]]


def _at(schedule: list[tuple[int, Method]], step: int) -> Method:
    return [method for start, method in schedule if start <= step][-1]


def layout(config: Any) -> environment.Corridor:
    """The corridor of a config."""
    return environment.make_corridor(**config.corridor)


def run(config: Any, workdir: str | os.PathLike) -> dict[str, Any]:
    """Trains every method, writes the run folder; the same folder again resumes.

    The final record has return and bias probability of every method and N, mean and standard error over seeds.
    """
    phases = check(config)
    corridor = layout(config)
    names, sizes = list(phases[0][1]), config.rl.num_rollouts
    state = learner.initial_state(config.corridor.num_states, names, sizes, config.rl.num_seeds)
    state = sharding.shard_if_even(state, checks.mesh(config), axis=1)  # seeds are independent
    settings = {"seed": config.seed, "learning_rate": config.rl.learning_rate}
    chunks = [(first, scan(learner.make_step(corridor, m, sizes, **settings))) for first, m in phases]
    ratios = Every(
        config.variance.every_steps,
        lambda state, step: variance_ratios(config, phases, corridor, state, step),
        at_start=True,
    )
    with open_run(config, workdir, "corridor") as opened:
        phase = Phase(
            name="train",
            chunk=chunks,
            num_steps=config.rl.steps,
            steps_per_call=config.rl.steps_per_call,
            every=[ratios],
            finite=(),
            show=[f"return/{name}/N{sizes[-1]}" for name in names],
        )
        state = run_steps(opened, phase, state)
        final = _summary(corridor, state, names)
        for name, (mean, error) in final.items():
            if name.startswith("return/"):
                opened.say(f"{name}: {with_error(mean, error, 1)} (standard error over seeds)")
        return opened.finish(state["params"], **final)


def variance_ratios(
    config: Any, phases: Phases, corridor: environment.Corridor, state: learner.State, step: int
) -> dict[str, Any]:
    """Total variance of maxpo over that of expected_improvement, a value a seed, at the parameters of maxpo."""
    methods = [methods for start, methods in phases if start <= step][-1]
    values = {}
    for j, (name, method) in enumerate(methods.items()):
        if method.advantage.name == "maxpo":
            for n in config.rl.num_rollouts:
                params = jax.tree.map(lambda leaf, j=j: leaf[j], state["params"][f"N{n}"])
                k = dict(method.advantage.hyper)["k"]
                variances = variance.total_variances(
                    keys.stream(config.seed, f"variance {name} N{n}", step),
                    params,
                    corridor,
                    estimators=(method.advantage, advantages.get("expected_improvement", k=k)),
                    k=k,
                    num_rollouts=n,
                    num_batches=config.variance.num_batches,
                )
                centred, uncentred = np.asarray(variances, np.float64).T
                # A deterministic policy has no variance and no ratio: NaN, null in metrics.jsonl.
                ratio = np.divide(centred, uncentred, out=np.full_like(centred, np.nan), where=uncentred > 0)
                values |= {f"eval/variance/{name}/N{n}": centred, f"eval/variance_ratio/{name}/N{n}": ratio}
    return values


def _summary(corridor: environment.Corridor, state: learner.State, names: list[str]) -> dict[str, list[float]]:
    """{"return/METHOD/N16": [mean, standard error over seeds], ...} and the same for bias_probability."""
    values = {}
    for size, params in state["params"].items():
        for measure, function in learner.MEASURES.items():
            over_runs = np.asarray(jax.vmap(jax.vmap(partial(function, corridor)))(params), np.float64)
            for name, row in zip(names, over_runs, strict=True):
                mean, error, _ = spread(row)
                values[f"{measure}/{name}/{size}"] = [float(mean), float(error)]
    return values


if __name__ == "__main__":
    launch.main(run, check, config_file="configs/corridor.py")
