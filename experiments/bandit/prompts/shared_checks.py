"""Checks shared by the studies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from experiments.bandit.prompts import methods
from experiments.bandit.prompts.problem import FEATURES
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config import checks


def problem(config: Any) -> None:
    """Checks `config.problem`, the keyword arguments of `make_problem`."""
    checks.integer(config, "problem.num_prompts", 2)
    checks.integer(config, "problem.num_answers", 2)
    checks.integer(config, "problem.num_correct", 1, config.problem.num_answers - 1)
    rates(config, "problem.pass_rate_range")
    checks.one_of(config, "problem.features", FEATURES)
    checks.positive_int(config, "problem.num_features")
    checks.in_range(config, "problem.shared", 0.0, 1.0)
    if config.problem.features == "groups":
        checks.divides(config, "problem.group_size", config.problem.num_prompts, "problem.num_prompts")


def training(config: Any, group: str, *counts: str) -> None:
    """Checks the learning rate, steps and number of seeds of a study's own group, and further counts of it."""
    for key in ("steps", "num_seeds", *counts):
        checks.positive_int(config, f"{group}.{key}")
    checks.positive(config, f"{group}.learning_rate")


def rates(config: Any, key: str) -> None:
    """Checks two probabilities in increasing order, strictly inside (0, 1)."""
    value = checks.tuple_of(config, key, float, min_length=2)
    if len(value) != 2 or not 0 < value[0] < value[1] < 1:
        raise ConfigError(key, value, "(low, high) with 0 < low < high < 1")


def ks(config: Any, key: str, highest: int | None = None, what: str = "") -> None:
    """Checks a tuple of k >= 1, at most ``highest`` (which is ``what``)."""
    given = checks.tuple_of(config, key, int, low=1)
    if highest is not None and max(given) > highest:
        raise ConfigError(key, given, f"values from 1 to {highest} ({what})")


def binary_estimators(config: Any, key: str, sizes: Iterable[int], suffix: str = "") -> None:
    """Checks names of symmetric estimators, which may end in ``suffix``, at every N of ``sizes``."""
    for name in checks.tuple_of(config, key, str):
        try:
            for size in sizes:
                methods.tables([methods.estimator(name.removesuffix(suffix), size)])
        except ValueError as error:
            also = f", also with {suffix} appended" if suffix else ""
            raise ConfigError(key, name, f"estimators of binary rewards alone{also} ({error})") from None
