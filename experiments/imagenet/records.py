"""What the run folders of the image experiment hold, read back for figures and tables."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.imagenet import gradient_norms, objective
from maxrl_jax.runs.folder.metric_writer import read_metrics


@dataclasses.dataclass(frozen=True)
class Record:
    """One run of the image driver.

    Attributes:
        folder: the run's folder.
        config: its config.json.
        evaluations: one row an evaluation, indexed by step, the eval/ metrics without their prefix.
    """

    folder: Path
    config: dict[str, Any]
    evaluations: pd.DataFrame

    @property
    def method(self) -> str:
        """cross_entropy, or the estimator's name."""
        loss = self.config["loss"]
        return loss["name"] if loss["name"] == "cross_entropy" else loss["advantage"]["name"]

    @property
    def num_rollouts(self) -> int:
        """N of the training; 0 for cross-entropy, which draws none."""
        return 0 if self.method == "cross_entropy" else self.config["loss"]["num_rollouts"]

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.config["seed"]

    def coverage(self) -> pd.Series:
        """pass@k at the last evaluation, over k."""
        last = self.evaluations.iloc[-1]
        return pd.Series({k: last[f"pass@{k}"] for k in objective.KS})

    def gradient_norms(self) -> pd.DataFrame | None:
        """The rows of `gradient_norms.table` that the run or the analysis wrote last, or None."""
        file = self.folder / "figures" / gradient_norms.FILE
        return pd.read_csv(file) if file.exists() else None


def read(folder: Path) -> Record:
    """Reads one run folder."""
    config = json.loads((folder / "config.json").read_text())
    rows = []
    for line in read_metrics(folder):
        values = {key.removeprefix("eval/"): v for key, v in line.items() if key.startswith("eval/")}
        if values:
            rows.append({"step": line["step"], **values})
    return Record(folder, config, pd.DataFrame(rows).set_index("step") if rows else pd.DataFrame())


def find(folders: Iterable[Path]) -> list[Record]:
    """All image runs with an evaluation in the folders and below them, in order of their paths."""
    found = []
    for folder in folders:
        for path in sorted(folder.rglob("config.json")):
            if (path.parent / "metrics.jsonl").exists() and "loss" in json.loads(path.read_text()):
                found.append(read(path.parent))
    return [record for record in found if len(record.evaluations)]


def groups(records: Iterable[Record]) -> dict[tuple[str, int], list[Record]]:
    """Records by (method, N), seeds together: cross-entropy first, then by method, the largest N first."""
    out: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        out.setdefault((record.method, record.num_rollouts), []).append(record)
    names = list(dict.fromkeys(["cross_entropy", "maxrl", "grpo", *(method for method, _ in out)]))
    return {key: out[key] for key in sorted(out, key=lambda key: (names.index(key[0]), -key[1]))}


def over_seeds(series: Sequence[pd.Series]) -> tuple[pd.Series, pd.Series]:
    """(mean, standard error) at each index; the error is NaN for one seed."""
    table = pd.concat(series, axis=1)
    return table.mean(axis=1), table.sem(axis=1) if len(series) > 1 else table.mean(axis=1) * np.nan
