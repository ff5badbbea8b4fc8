"""The study as a run: its fields, its check, its files."""

from __future__ import annotations

from typing import Any

from experiments.bandit.output import write
from experiments.bandit.prompts import methods, shared_checks
from experiments.bandit.split import budget, draw
from experiments.results.drawing import save_in_run
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.config.errors import ConfigError
from maxrl_jax.runs.folder.run import Run

GROUPS = ("problem", "split")
"""Groups of config fields that the study reads."""


def check(config: Any) -> None:
    """Raises ConfigError for the first field that is wrong."""
    shared_checks.problem(config)
    for key in ("steps", "num_seeds"):
        checks.positive_int(config, f"split.{key}")
    checks.positive(config, "split.learning_rate")
    checks.tuple_of(config, "split.rollouts_a_step", int, low=2)
    sizes = checks.tuple_of(config, "split.num_rollouts", int, low=2)
    if not budget.splits(config):
        allowed = "an N that divides a budget of split.rollouts_a_step into at most problem.num_prompts prompts"
        raise ConfigError("split.num_rollouts", sizes, allowed)
    for name in checks.tuple_of(config, "split.estimators", str):
        try:
            methods.tables([methods.estimator(name, 2)])
        except ValueError as error:
            raise ConfigError("split.estimators", name, f"estimators of binary rewards alone ({error})") from None


def run(open_run: Run, config: Any) -> budget.Runs:
    """Trains every estimator at every split; final.csv and one figure."""
    open_run.say("training every split of a step's rollouts")
    found = budget.run(config)
    final = budget.final(found)
    write(open_run, "final.csv", final)
    save_in_run(open_run, "rollouts_split", draw.draw_split, final)
    open_run.finish(found.params)
    return found
