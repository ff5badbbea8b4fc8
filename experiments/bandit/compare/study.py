"""The study as a run: its fields, its check, its files."""

from __future__ import annotations

import inspect
from typing import Any

from experiments.bandit.compare import comparison, draw
from experiments.bandit.output import log_curves, write
from experiments.bandit.prompts import shared_checks
from experiments.results.drawing import save_in_run
from maxrl_jax import advantages, objectives
from maxrl_jax.errors import ConfigError, suggestion
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.folder.run import Run

GROUPS = ("problem", "rl", "compare")
"""Groups of config fields that the study reads."""


def check(config: Any) -> None:
    """Raises ConfigError for the first field that is wrong."""
    shared_checks.problem(config)
    checks.positive_int(config, "rl.steps")
    checks.positive(config, "rl.learning_rate")
    for key in ("compare.k", "compare.order", "compare.num_seeds"):
        checks.positive_int(config, key)
    shared_checks.ks(config, "compare.num_rollouts")
    names = checks.tuple_of(config, "compare.objectives", str)
    unknown = [name for name in names if name not in objectives.OBJECTIVES]
    if unknown or "ml" not in names:
        allowed = f"names among {', '.join(objectives.OBJECTIVES)}, ml (the reference) one of them"
        raise ConfigError("compare.objectives", names, allowed)
    estimators = checks.tuple_of(config, "compare.estimators", str)
    for name in estimators:
        _comparable(name)
    if not comparison.families(config):
        allowed = f"a value at which one of {', '.join(estimators)} is defined"
        raise ConfigError("compare.num_rollouts", config.compare.num_rollouts, allowed)


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


def run(open_run: Run, config: Any) -> comparison.Runs:
    """Trains everything; curves.csv, final.csv, strata.csv and two figures."""
    open_run.progress.begin("compare", 0, 1 + len(comparison.families(config)))
    found = comparison.run(config, lambda done, total, label: open_run.progress.update(done, total, {}))
    open_run.progress.end()
    curves, final, strata = comparison.curves(found), comparison.final(found), comparison.strata(found)
    for name, table in {"curves": curves, "final": final, "strata": strata}.items():
        write(open_run, f"{name}.csv", table)
    log_curves(open_run, curves, ("label", "gradients"))
    save_in_run(open_run, "comparison", draw.draw_comparison, curves, final)
    save_in_run(open_run, "strata", draw.draw_strata, strata)
    open_run.finish(found.params)
    return found
