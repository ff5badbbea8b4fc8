"""Every method at every N on the same prompts: noise-free runs show the objective, sampled runs the noise.

The exact gradient of an estimator at N rollouts is w(p) grad p with w from `objectives.effective_weight`, so a
noise-free run of "maxrl N=16" is what 16 rollouts optimise, and a sampled run adds only the spread of 16 draws.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import pandas as pd

from experiments.bandit import compare_draw, frame
from experiments.bandit.frame import Tables, even_steps, tidy
from experiments.bandit.prompts import dynamics, measures, methods, shared_checks
from experiments.bandit.prompts.draws import seed_keys
from experiments.bandit.prompts.dynamics import Runs
from experiments.bandit.prompts.methods import Method
from experiments.bandit.prompts.problem import STRATA, make_problems, strata_of
from maxrl_jax import advantages, objectives
from maxrl_jax.errors import ConfigError, suggestion
from maxrl_jax.runs.config import checks

KS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


def families(config: Any) -> list[tuple[Method, ...]]:
    """The estimators of `config.compare` at each N, without the N at which none of them is defined."""
    compare = config.compare
    found = [methods.family(compare.estimators, n, compare.k) for n in compare.num_rollouts]
    return [family for family in found if family]


def train(config: Any, tell: Any = frame.quiet) -> Runs:
    """Trains everything `config.compare` lists: noise-free objectives and estimators, then the sampled ones."""
    compare, steps, rate = config.compare, config.rl.steps, config.rl.learning_rate
    problems, seeds = make_problems(config, compare.num_seeds), seed_keys(config.seed, compare.num_seeds)
    by_size = families(config)
    hyper = {"pass_at_k": {"k": compare.k}, "maxrl": {"order": compare.order}}
    drawn = sum(by_size, ())
    noise_free = tuple(methods.exact(name, **hyper.get(name, {})) for name in compare.objectives) + drawn
    trajectories = [dynamics.run_expected(problems, rate, methods=noise_free, num_steps=steps)]
    for done, family in enumerate(by_size, start=1):
        jax.block_until_ready(trajectories[-1])
        tell(done, 1 + len(by_size))
        trajectories.append(dynamics.run_counts(problems, seeds, rate, methods.tables(family), num_steps=steps))
    identities = [method.identity(gradients="expected") for method in noise_free]
    return Runs.of(identities + [method.identity(gradients="sampled") for method in drawn], trajectories)


def curves(runs: Runs) -> pd.DataFrame:
    """Learning curves: a row for each run, seed and recorded step."""
    steps = even_steps(runs.solved.shape[-1])
    before, rates = np.maximum(steps - 1, 0), np.take(runs.log_rates, steps, axis=2)
    columns = {f"pass@{k}": measures.pass_at_k(rates, k) for k in (1, 32, 1024)}
    columns |= {"log_likelihood": rates.mean(-1), "entropy": runs.entropy[..., steps]}
    columns |= {"any_success": runs.any_success[..., before], "solved": runs.solved[..., before]}
    return tidy(runs.identities, columns, step=steps)


def final(runs: Runs, ks: Sequence[int] = KS) -> pd.DataFrame:
    """End of training: a row for each run and seed, with coverage and the distances to exact ML."""
    ml = [identity["label"] for identity in runs.identities].index("exact ml")
    columns = {f"pass@{k}": measures.pass_at_k(runs.log_rates[..., -1, :], k) for k in ks}
    columns["distance_to_ml"] = measures.distance(runs.log_rates, runs.log_rates[ml])
    columns["params_distance_to_ml"] = np.linalg.norm(runs.params - runs.params[ml], axis=(-2, -1))
    return tidy(runs.identities, columns)


def strata(config: Any, runs: Runs) -> pd.DataFrame:
    """By stratum of initial pass rate: a row for each run, seed and stratum, with steps to each level of pass@1."""
    inside = strata_of(np.geomspace(*config.problem.pass_rate_range, config.problem.num_prompts))
    there = [index for index in range(len(STRATA)) if (inside == index).any()]
    names = [measures.stratum_name(index) for index in there]
    means = np.stack([np.exp(runs.log_rates[..., inside == index]).mean(-1) for index in there], axis=2)
    columns = {"initial pass@1": means[..., 0], "final pass@1": means[..., -1]}
    columns |= {f"steps to {level:g}": measures.steps_to(means, level) for level in compare_draw.LEVELS}
    return tidy(runs.identities, columns, stratum=names)


def tables(config: Any, runs: Runs) -> Tables:
    """The tables of a run."""
    return {"curves": curves(runs), "final": final(runs), "strata": strata(config, runs)}


def figures(config: Any, made: Tables) -> dict[str, Any]:
    """The figures of a run."""
    return {
        "comparison": (compare_draw.draw_comparison, made["curves"], made["final"]),
        "strata": (compare_draw.draw_strata, made["strata"]),
    }


def check(config: Any) -> None:
    """Raises ConfigError for the first field that is wrong."""
    shared_checks.problem(config)
    checks.positive(config, "rl.learning_rate")
    for key in ("rl.steps", "compare.k", "compare.order", "compare.num_seeds"):
        checks.positive_int(config, key)
    shared_checks.ks(config, "compare.num_rollouts")
    names = checks.tuple_of(config, "compare.objectives", str)
    if not set(names) <= set(objectives.OBJECTIVES) or "ml" not in names:
        allowed = f"names among {', '.join(objectives.OBJECTIVES)}, ml (the reference) one of them"
        raise ConfigError("compare.objectives", names, allowed)
    estimators = checks.tuple_of(config, "compare.estimators", str)
    fits = [  # symmetric, with hyper-parameters that the comparison knows how to choose
        entry.name
        for entry in advantages.TABLE.values()
        if entry.binary_form is not None
        and all(key in ("k", "order") or value is not inspect.Parameter.empty for key, value in entry.defaults.items())
    ]
    for name in estimators:
        if name not in fits:
            raise ConfigError("compare.estimators", name, f"names among {', '.join(fits)}{suggestion(name, fits)}")
    if not families(config):
        allowed = f"a value at which one of {', '.join(estimators)} is defined"
        raise ConfigError("compare.num_rollouts", config.compare.num_rollouts, allowed)


RUN = frame.ending_in_tables(train, tables, figures, frame.metrics_of_curves("label", "gradients"))
STUDY = frame.Study(("problem", "rl", "compare"), check, RUN)
