"""The study as a run: its fields, its check, its files."""

from __future__ import annotations

from typing import Any

from experiments.bandit.output import write
from experiments.bandit.prompts import methods, shared_checks
from experiments.bandit.verifier import draw, verdicts
from experiments.results.drawing import save_in_run
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.config.errors import ConfigError
from maxrl_jax.runs.folder.run import Run

GROUPS = ("problem", "verifier")
"""Groups of config fields that the study reads."""


def check(config: Any) -> None:
    """Raises ConfigError for the first field that is wrong."""
    shared_checks.problem(config)
    for key in ("steps", "num_seeds", "weight_batches"):
        checks.positive_int(config, f"verifier.{key}")
    checks.positive(config, "verifier.learning_rate")
    errors = checks.field(config, "verifier.errors")
    if not errors or not all(len(pair) == 2 and min(pair) >= 0 and sum(pair) < 1 for pair in errors):
        raise ConfigError("verifier.errors", errors, "pairs (a, b) of numbers >= 0 with a + b < 1")
    sizes = checks.tuple_of(config, "verifier.num_rollouts", int, low=2)
    for name in checks.tuple_of(config, "verifier.estimators", str):
        for size in sizes:
            try:
                methods.tables([methods.estimator(name, size)])
            except ValueError as error:
                raise ConfigError(
                    "verifier.estimators", name, f"estimators of binary rewards alone ({error})"
                ) from None


def run(open_run: Run, config: Any) -> verdicts.Runs:
    """Trains every method under every verifier; prompts.csv, reach.csv, weights.csv and one figure."""
    open_run.say("training under every verifier")
    found = verdicts.run(config)
    table, weights = verdicts.by_prompt(found), verdicts.weights(config, config.verifier.weight_batches)
    for name, part in {"prompts": table, "reach": verdicts.reach(table), "weights": weights}.items():
        write(open_run, f"{name}.csv", part)
    save_in_run(open_run, "verifier_errors", draw.draw_verifier, weights, table)
    open_run.finish(found.params)
    return found
