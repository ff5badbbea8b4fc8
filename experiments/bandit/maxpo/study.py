"""The study as a run: its fields, its check, its files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from experiments.bandit.maxpo import draw, tables
from experiments.bandit.output import write
from experiments.results.drawing import save_in_run
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.folder.run import Run

GROUPS = ("arms",)
"""Groups of config fields that the study reads."""


def check(config: Any) -> None:
    """Raises ConfigError for the first field that is wrong."""
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


def run(open_run: Run, config: Any) -> dict[str, pd.DataFrame]:
    """A table for each part and three figures. Nothing is trained: the digest is of the numbers."""
    parts = {
        "error": tables.error_table,
        "variance_over_actions": tables.variance_over_actions,
        "variance_over_k": tables.variance_over_k,
    }
    found = {}
    open_run.progress.begin("maxpo", 0, len(parts))
    for done, (name, part) in enumerate(parts.items(), start=1):
        found[name] = part(config)
        write(open_run, f"{name}.csv", found[name])
        open_run.progress.update(done, len(parts), {})
    open_run.progress.end()
    means = found["error"].groupby(["batches", "estimator"], sort=False)["error"].mean()
    open_run.log_many(
        [
            (int(batches), {f"eval/error/{name}": float(value) for (_, name), value in group.items()})
            for batches, group in means.groupby(level=0)
        ]
    )
    save_in_run(open_run, "maxpo_fig1", draw.draw_figure_1, *found.values(), config.arms.error_rollouts)
    save_in_run(open_run, "maxpo_fig4", draw.draw_variance, found["variance_over_actions"], "actions")
    save_in_run(open_run, "maxpo_fig5", draw.draw_variance, found["variance_over_k"], "k")
    open_run.finish({name: np.asarray(table.select_dtypes("number")) for name, table in found.items()})
    return found
