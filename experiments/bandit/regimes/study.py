"""The study as a run: its fields, its check, its files."""

from __future__ import annotations

from typing import Any

import pandas as pd

from experiments.bandit.output import write
from experiments.bandit.prompts import methods
from experiments.bandit.prompts.problem import FEATURES
from experiments.bandit.regimes import draw, race
from experiments.results.drawing import save_in_run
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.folder.run import Run

GROUPS = ("regimes",)
"""Groups of config fields that the study reads."""


def check(config: Any) -> None:
    """Raises ConfigError for the first field that is wrong."""
    for key in ("num_prompts", "num_answers", "num_features"):
        checks.integer(config, f"regimes.{key}", 2)
    for key in ("k", "num_seeds"):
        checks.positive_int(config, f"regimes.{key}")
    if config.regimes.num_features > config.regimes.num_prompts:
        raise ConfigError("regimes.num_features", config.regimes.num_features, "at most regimes.num_prompts")
    steps = checks.tuple_of(config, "regimes.steps", int, low=1)
    if list(steps) != sorted(set(steps)):
        raise ConfigError("regimes.steps", steps, "increasing numbers of steps")
    for key in ("base_rates", "spreads"):
        checks.tuple_of(config, f"regimes.{key}", float)
    rates = config.regimes.base_rates
    if not 0 < min(rates) <= max(rates) < 0.95:
        raise ConfigError("regimes.base_rates", rates, "rates above 0 and below 0.95")
    for name in checks.tuple_of(config, "regimes.features", str):
        if name not in ("tabular", "linear"):
            raise ConfigError("regimes.features", name, f"tabular or linear, of {', '.join(FEATURES)}")
    for name in checks.tuple_of(config, "regimes.optimizers", str):
        if name not in config.regimes.rates:
            raise ConfigError("regimes.optimizers", name, f"one of {', '.join(config.regimes.rates)}")
        rates = checks.tuple_of(config, f"regimes.rates.{name}", float, min_length=4)
        if min(rates) <= 0 or list(rates) != sorted(set(rates)):
            raise ConfigError(f"regimes.rates.{name}", rates, "at least four increasing positive rates")
    sizes = checks.tuple_of(config, "regimes.num_rollouts", int, low=2)
    for name in checks.tuple_of(config, "regimes.methods", str):
        try:
            for size in sizes:
                methods.tables([methods.estimator(name.removesuffix(race.REFILLED), size)])
        except ValueError as error:
            allowed = f"estimators of binary rewards alone, also with {race.REFILLED} appended ({error})"
            raise ConfigError("regimes.methods", name, allowed) from None


def run(open_run: Run, config: Any) -> pd.DataFrame:
    """Runs every method at every rate in every setting; best.csv, ahead.csv and two figures."""
    table = race.table(config, lambda done, total, label: open_run.say(f"{done} of {total} programs; {label}"))
    ahead = race.ahead(table)
    write(open_run, "best.csv", table)
    write(open_run, "ahead.csv", ahead)
    for features in config.regimes.features:
        save_in_run(open_run, f"regimes_{features}", draw.draw_regimes, ahead, features)
    open_run.finish(table)
    return table
