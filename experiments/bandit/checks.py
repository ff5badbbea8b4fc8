"""Everything a bandit config can get wrong, said before anything is compiled."""

from __future__ import annotations

import inspect
from typing import Any

from experiments.bandit import gradients, single
from experiments.bandit.problem import FEATURES
from maxrl_jax import advantages, objectives
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.config.errors import ConfigError, suggestion

STUDIES = ("train", "compare", "pkpo", "two_rewards", "maxpo")


def check(config: Any) -> None:
    """Checks the fields the config's study reads.

    Raises:
      ConfigError: naming the field, what was got and what is allowed.
    """
    study = checks.one_of(config, "study", STUDIES)
    {"train": _train, "compare": _compare, "pkpo": _pkpo, "two_rewards": _two_rewards, "maxpo": _maxpo}[study](config)


def _range(config: Any, key: str) -> None:
    """Two probabilities in increasing order, strictly inside (0, 1)."""
    low, high = checks.tuple_of(config, key, float, min_length=2)[:2]
    value = checks.field(config, key)
    if len(value) != 2 or not 0 < low < high < 1:
        raise ConfigError(key, value, "(low, high) with 0 < low < high < 1")


def _problem(config: Any) -> None:
    checks.integer(config, "problem.num_prompts", 2)
    checks.integer(config, "problem.num_answers", 2)
    checks.integer(config, "problem.num_correct", 1, config.problem.num_answers - 1)
    _range(config, "problem.pass_rate_range")
    checks.one_of(config, "problem.features", FEATURES)
    checks.positive_int(config, "problem.num_features")
    checks.in_range(config, "problem.shared", 0.0, 1.0)
    if config.problem.features == "groups":
        checks.divides(config, "problem.group_size", config.problem.num_prompts, "problem.num_prompts")


def _ks(config: Any, key: str, highest: int | None = None, allowed: str = "") -> None:
    ks = checks.tuple_of(config, key, int, low=1)
    if highest is not None and max(ks) > highest:
        raise ConfigError(key, ks, f"values from 1 to {highest} ({allowed})")


def _train(config: Any) -> None:
    _problem(config)
    checks.positive_int(config, "rl.steps")
    checks.positive_int(config, "rl.num_rollouts")
    checks.positive(config, "rl.learning_rate")
    checks.one_of(config, "rl.sampling", gradients.SAMPLINGS)
    checks.non_negative_int(config, "eval.every_steps")
    _ks(config, "eval.ks")
    single.phases(config)


def _compare(config: Any) -> None:
    _problem(config)
    checks.positive_int(config, "rl.steps")
    checks.positive(config, "rl.learning_rate")
    for key in ("compare.k", "compare.order", "compare.num_seeds"):
        checks.positive_int(config, key)
    _ks(config, "compare.num_rollouts")
    names = checks.tuple_of(config, "compare.objectives", str)
    unknown = [name for name in names if name not in objectives.OBJECTIVES]
    if unknown or "ml" not in names:
        allowed = f"names among {', '.join(objectives.OBJECTIVES)}, ml (the reference) one of them"
        raise ConfigError("compare.objectives", names, allowed)
    for name in checks.tuple_of(config, "compare.estimators", str):
        _comparable(name)


def _comparable(name: str) -> None:
    """A symmetric estimator whose hyper-parameters the comparison knows how to choose."""
    fits = [
        entry.name
        for entry in advantages.TABLE.values()
        if entry.binary_form is not None
        and all(key in ("k", "order") or value is not inspect.Parameter.empty for key, value in entry.defaults.items())
    ]
    if name not in fits:
        close = suggestion(name, fits)
        raise ConfigError("compare.estimators", name, "names among " + ", ".join(fits) + close)


def _pkpo(config: Any) -> None:
    for key in ("num_groups", "group_size", "num_rollouts", "steps", "num_seeds"):
        checks.positive_int(config, f"pkpo.{key}")
    checks.positive(config, "pkpo.learning_rate")
    checks.in_range(config, "pkpo.shared", 0.0, 1.0)
    checks.integer(config, "pkpo.hard_favourites_wrong", 0, config.pkpo.num_answers - 1)
    checks.integer(config, "pkpo.num_answers", 2)
    n = checks.integer(config, "pkpo.num_rollouts", 2)
    _ks(config, "pkpo.k_opt", n, "pkpo.num_rollouts")
    checks.integer(config, "pkpo.anneal_from", 1, n)
    checks.integer(config, "pkpo.anneal_step", 1, config.pkpo.steps)
    _ks(config, "pkpo.k_eval")


def _two_rewards(config: Any) -> None:
    checks.multiple_of(config, "two_rewards.num_prompts", 2, "compatible and conflict prompts alternate")
    for key in ("answers_each", "steps", "num_seeds"):
        checks.positive_int(config, f"two_rewards.{key}")
    checks.integer(config, "two_rewards.num_rollouts", 2)
    checks.positive(config, "two_rewards.coefficient")
    checks.positive(config, "two_rewards.learning_rate")
    checks.in_range(config, "two_rewards.second_rate", 0.0, 1.0, low_open=True, high_open=True)
    _range(config, "two_rewards.first_range")


def _maxpo(config: Any) -> None:
    checks.positive_int(config, "arms.num_seeds")
    n = checks.integer(config, "arms.error_rollouts", 2)
    checks.integer(config, "arms.error_actions", 2)
    checks.integer(config, "arms.error_k", 1, n - 1)
    checks.integer(config, "arms.variance_batches", 2)
    checks.divides(config, "arms.error_batches_per_chunk", config.arms.error_batches, "arms.error_batches")
    checks.tuple_of(config, "arms.actions", int, low=2)
    checks.integer(config, "arms.k_actions", 2)
    sizes = checks.tuple_of(config, "arms.num_rollouts", int, low=2)
    if min(sizes) <= config.arms.error_k:
        raise ConfigError("arms.num_rollouts", sizes, f"values above arms.error_k = {config.arms.error_k}")
    if n not in sizes:
        raise ConfigError("arms.num_rollouts", sizes, f"values with arms.error_rollouts = {n} among them")
    ks = checks.tuple_of(config, "arms.ks", int, low=1)
    if min(ks) >= min(sizes):
        raise ConfigError("arms.ks", ks, f"at least one k below every N, the smallest of which is {min(sizes)}")
