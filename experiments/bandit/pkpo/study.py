"""The study as a run: its fields, its check, its files."""

from __future__ import annotations

from typing import Any

from experiments.bandit.output import log_curves, write
from experiments.bandit.pkpo import draw, groups
from experiments.bandit.prompts import shared_checks
from experiments.results.drawing import save_in_run
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.folder.run import Run

GROUPS = ("pkpo",)
"""Groups of config fields that the study reads."""


def check(config: Any) -> None:
    """Raises ConfigError for the first field that is wrong."""
    for key in ("num_groups", "group_size", "num_rollouts", "steps", "num_seeds"):
        checks.positive_int(config, f"pkpo.{key}")
    checks.positive(config, "pkpo.learning_rate")
    checks.in_range(config, "pkpo.shared", 0.0, 1.0)
    checks.integer(config, "pkpo.num_answers", 2)
    checks.integer(config, "pkpo.hard_favourites_wrong", 0, config.pkpo.num_answers - 1)
    n = checks.integer(config, "pkpo.num_rollouts", 2)
    shared_checks.ks(config, "pkpo.k_opt", n, "pkpo.num_rollouts")
    checks.integer(config, "pkpo.anneal_from", 1, n)
    checks.integer(config, "pkpo.anneal_step", 1, config.pkpo.steps)
    shared_checks.ks(config, "pkpo.k_eval")


def run(open_run: Run, config: Any) -> groups.Runs:
    """Trains every k on every task set; curves.csv and one figure."""
    open_run.say("training every k on every task set")
    found = groups.run(config)
    table = groups.table(found, config.pkpo.k_eval)
    write(open_run, "curves.csv", table)
    log_curves(open_run, table, ("task_set", "method"))
    save_in_run(open_run, "pkpo_miniature", draw.draw_pkpo, table, config.pkpo.num_rollouts, config.pkpo.anneal_step)
    open_run.finish(found.params)
    return found
