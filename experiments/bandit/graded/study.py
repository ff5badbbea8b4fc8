"""The study as a run: its fields, its check, its files."""

from __future__ import annotations

from typing import Any

from experiments.bandit.graded import draw, training
from experiments.bandit.output import log_curves, write
from experiments.bandit.prompts import shared_checks
from experiments.results.drawing import save_in_run
from maxrl_jax import advantages
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.config.errors import ConfigError, suggestion
from maxrl_jax.runs.folder.run import Run

GROUPS = ("graded",)
"""Groups of config fields that the study reads."""


def check(config: Any) -> None:
    """Raises ConfigError for the first field that is wrong."""
    for key in ("num_prompts", "answers_each", "steps", "num_seeds"):
        checks.positive_int(config, f"graded.{key}")
    checks.positive(config, "graded.learning_rate")
    levels = checks.tuple_of(config, "graded.levels", float, min_length=2)
    if len(levels) > 3 or list(levels) != sorted(set(levels)) or not 0 <= levels[0] < levels[-1] <= 1:
        raise ConfigError("graded.levels", levels, "two or three ascending numbers from 0 to 1")
    shared_checks.rates(config, "graded.best_range")
    room = 1 - config.graded.best_range[1]
    checks.in_range(config, "graded.middle_rate", 0.0, room, low_open=True, high_open=True)
    checks.tuple_of(config, "graded.num_rollouts", int, low=2)
    for name in checks.tuple_of(config, "graded.estimators", str):
        _fits_graded_rewards(name)


def _fits_graded_rewards(name: str) -> None:
    """An estimator of rewards in [0, 1] without hyper-parameters that have to be chosen."""
    fits = [
        entry.name
        for entry in advantages.TABLE.values()
        if entry.reward_kind != "binary" and entry.binary_form is not None and "k" not in entry.defaults
        if not {"order", "coefficients"} & set(entry.defaults)
    ]
    if name not in fits:
        raise ConfigError("graded.estimators", name, "names among " + ", ".join(fits) + suggestion(name, fits))


def run(open_run: Run, config: Any) -> training.Runs:
    """Trains every method on the graded prompts; curves.csv and one figure."""
    open_run.say("training every method on graded answers")
    found = training.run(config)
    curves = training.curves(found)
    write(open_run, "curves.csv", curves)
    log_curves(open_run, curves, ("label", "gradients"))
    save_in_run(open_run, "graded_answers", draw.draw_graded, curves)
    open_run.finish(found.logits)
    return found
