"""The study as a run: its fields, its check, its files."""

from __future__ import annotations

from typing import Any

from experiments.bandit.output import log_curves, write
from experiments.bandit.prompts import shared_checks
from experiments.bandit.two_rewards import draw, tasks
from experiments.results.drawing import save_in_run
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.folder.run import Run

GROUPS = ("two_rewards",)
"""Groups of config fields that the study reads."""


def check(config: Any) -> None:
    """Raises ConfigError for the first field that is wrong."""
    checks.multiple_of(config, "two_rewards.num_prompts", 2, "compatible and conflict prompts alternate")
    for key in ("answers_each", "steps", "num_seeds"):
        checks.positive_int(config, f"two_rewards.{key}")
    checks.integer(config, "two_rewards.num_rollouts", 2)
    checks.positive(config, "two_rewards.coefficient")
    checks.positive(config, "two_rewards.learning_rate")
    checks.in_range(config, "two_rewards.second_rate", 0.0, 1.0, low_open=True, high_open=True)
    shared_checks.rates(config, "two_rewards.first_range")


def run(open_run: Run, config: Any) -> tasks.Runs:
    """Trains every way to combine two rewards; curves.csv and one figure."""
    open_run.say("training every way to combine two rewards")
    found = tasks.run(config)
    table = tasks.table(found)
    write(open_run, "curves.csv", table)
    log_curves(open_run, table, ("way", "kind"))
    save_in_run(open_run, "two_rewards", draw.draw_two_rewards, table)
    open_run.finish(found.logits)
    return found
