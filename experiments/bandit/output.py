"""Output of the studies that end in tables: CSV files, and metrics of the means over seeds at chosen steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from maxrl_jax.runs.folder.run import Run


def write(run: Run, name: str, table: pd.DataFrame) -> None:
    """Writes a table into the run folder."""
    (run.path / name).write_text(table.to_csv(index=False))


def log_curves(
    run: Run, table: pd.DataFrame, by: Sequence[str], skip: Sequence[str] = ("seed", "num_rollouts")
) -> None:
    """One metrics line a step: the mean over seeds of every column, named eval/BY.../COLUMN."""
    means = (
        table.drop(columns=[c for c in skip if c in table]).groupby([*by, "step"], sort=False).mean(numeric_only=True)
    )
    lines: dict[int, dict[str, float]] = {}
    for index, row in means.iterrows():
        *names, step = index
        prefix = "eval/" + "/".join(str(name).replace(" ", "_") for name in names)
        lines.setdefault(int(step), {}).update({f"{prefix}/{key}": float(value) for key, value in row.items()})
    run.log_many(sorted(lines.items()))


def log_spaced_steps(num_steps: int, count: int) -> np.ndarray:
    """At most `count` whole steps from 0 to num_steps, closer together at the start."""
    return np.unique(np.concatenate([[0], np.geomspace(1, num_steps, count).round(), [num_steps]]).astype(int))


def even_steps(num_steps: int, count: int) -> Sequence[int]:
    """At most `count` whole steps from 0 to num_steps, evenly spaced."""
    return np.unique(np.linspace(0, num_steps, count).round().astype(int))
