"""Every method at every N on the same prompts: noise-free runs show the objective, sampled runs the noise.

The exact gradient of an estimator at N rollouts is w(p) grad p with w from `objectives.effective_weight`, so a
noise-free run of "maxrl N=16" is what 16 rollouts optimise, and a sampled run adds only the spread of 16 draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd

from experiments.bandit.draws import seed_keys
from experiments.bandit.output import even_steps
from experiments.bandit.prompts import dynamics, measures
from experiments.bandit.prompts import methods as methods_module
from experiments.bandit.prompts.methods import Method
from experiments.bandit.prompts.problem import STRATA, make_problems, strata_of

KS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
LEVELS = (0.25, 0.5, 0.75)


class Runs(NamedTuple):
    """All runs of one comparison, on the host.

    Attributes:
      methods: of every run, noise-free ones first.
      sampled: whether answers were drawn, one bool a run.
      log_rates: [runs, seeds, steps + 1, P].
      entropy: [runs, seeds, steps + 1].
      any_success: [runs, seeds, steps].
      solved: [runs, seeds, steps].
      params: [runs, seeds, F, C].
      strata: [P] index into STRATA.
    """

    methods: tuple[Method, ...]
    sampled: np.ndarray
    log_rates: np.ndarray
    entropy: np.ndarray
    any_success: np.ndarray
    solved: np.ndarray
    params: np.ndarray
    strata: np.ndarray

    def find(self, label: str, sampled: bool = False) -> int:
        """Index of a run by its method's label."""
        for index, method in enumerate(self.methods):
            if method.label == label and self.sampled[index] == sampled:
                return index
        raise KeyError(f"no {'sampled' if sampled else 'noise-free'} run {label!r}")


def exact_methods(names: Sequence[str], k: int, order: int) -> tuple[Method, ...]:
    """Population objectives by name, pass_at_k at k and maxrl at an order."""
    hyper = {"pass_at_k": {"k": k}, "maxrl": {"order": order}}
    return tuple(methods_module.exact(name, **hyper.get(name, {})) for name in names)


def families(config: Any) -> list[tuple[Method, ...]]:
    """The estimators of `config.compare` at each N, without the N at which none of them is defined."""
    compare = config.compare
    found = [methods_module.family(compare.estimators, n, compare.k) for n in compare.num_rollouts]
    return [family for family in found if family]


def run(config: Any, tell: Any = lambda done, total, label: None) -> Runs:
    """Trains everything `config.compare` lists.

    Args:
      config: see configs/bandit.py.
      tell: called with (parts done, parts in all, the next part).

    Returns:
      Runs: noise-free ones (objectives, then every estimator at every N), then the sampled ones.
    """
    compare, steps, rate = config.compare, config.rl.steps, config.rl.learning_rate
    problems = make_problems(config, compare.num_seeds)
    by_size = families(config)
    noise_free = exact_methods(compare.objectives, compare.k, compare.order) + sum(by_size, ())
    parts = 1 + len(by_size)
    tell(0, parts, "noise-free")
    trajectories = [dynamics.run_expected(problems, rate, methods=noise_free, num_steps=steps)]
    for done, family in enumerate(by_size, start=1):
        jax.block_until_ready(trajectories[-1])
        tell(done, parts, f"N = {family[0].num_rollouts}")
        seeds = seed_keys(config.seed, compare.num_seeds)
        tables = methods_module.tables(family)
        trajectories.append(dynamics.run_counts(problems, seeds, rate, tables, num_steps=steps))
    host = [jax.device_get(trajectory) for trajectory in trajectories]
    tell(parts, parts, "done")
    merged = dynamics.Trajectory(*(np.concatenate(leaves) for leaves in zip(*host, strict=True)))
    sampled = np.arange(len(merged.log_rates)) >= len(noise_free)
    strata = strata_of(np.geomspace(*config.problem.pass_rate_range, config.problem.num_prompts))
    return Runs(noise_free + sum(by_size, ()), sampled, *merged, strata)


def _identity(runs: Runs, index: int) -> dict[str, Any]:
    method = runs.methods[index]
    return {
        "method": method.name,
        "label": method.label,
        "num_rollouts": method.num_rollouts,
        "gradients": "sampled" if runs.sampled[index] else "expected",
    }


def curves(runs: Runs, count: int = 60, ks: Sequence[int] = (1, 32, 1024)) -> pd.DataFrame:
    """Learning curves: a row for each run, seed and recorded step."""
    num_steps = runs.log_rates.shape[-2] - 1
    steps = even_steps(num_steps, count)
    frames = []
    for index in range(len(runs.methods)):
        rates = runs.log_rates[index][:, steps]
        before = np.maximum(np.asarray(steps) - 1, 0)
        for seed in range(rates.shape[0]):
            frame = pd.DataFrame({**_identity(runs, index), "seed": seed, "step": steps})
            for k in ks:
                frame[f"pass@{k}"] = measures.pass_at_k(rates[seed], k)
            frame["log_likelihood"] = rates[seed].mean(-1)
            frame["entropy"] = runs.entropy[index, seed, steps]
            frame["any_success"] = runs.any_success[index, seed, before]
            frame["solved"] = runs.solved[index, seed, before]
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def final(runs: Runs, ks: Sequence[int] = KS) -> pd.DataFrame:
    """End of training: a row for each run and seed, with coverage and the distances to exact ML."""
    reference = runs.find("exact ml")
    rows = []
    for index in range(len(runs.methods)):
        far = measures.distance(runs.log_rates[index], runs.log_rates[reference])
        moved = np.linalg.norm(runs.params[index] - runs.params[reference], axis=(-2, -1))
        for seed, rates in enumerate(runs.log_rates[index][:, -1]):
            row = {**_identity(runs, index), "seed": seed}
            row |= {f"pass@{k}": measures.pass_at_k(rates, k) for k in ks}
            row |= {"distance_to_ml": far[seed], "params_distance_to_ml": moved[seed]}
            rows.append(row)
    return pd.DataFrame(rows)


def strata(runs: Runs) -> pd.DataFrame:
    """By stratum of initial pass rate: a row for each run, seed and stratum, with steps to each level of pass@1."""
    rows = []
    for index in range(len(runs.methods)):
        for which in range(len(STRATA)):
            inside = runs.strata == which
            if not inside.any():
                continue
            mean = np.exp(runs.log_rates[index][..., inside]).mean(-1)  # [seeds, steps + 1]
            for seed in range(mean.shape[0]):
                row = {**_identity(runs, index), "seed": seed, "stratum": measures.stratum_name(which)}
                row |= {"initial pass@1": mean[seed, 0], "final pass@1": mean[seed, -1]}
                row |= {f"steps to {level:g}": float(measures.steps_to(mean[seed], level)) for level in LEVELS}
                rows.append(row)
    return pd.DataFrame(rows)
