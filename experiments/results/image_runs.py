"""Run folders of the image experiment: its method, its evaluations, its gradient norms."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.results import folders
from experiments.results.folders import RunFolder

GRADIENT_NORMS = "gradient_norms.csv"
"""In the figures/ of a run: see `experiments.imagenet.gradient_norms`."""


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
        ks = sorted(int(name.removeprefix("pass@")) for name in last.index if name.startswith("pass@"))
        return pd.Series({k: last[f"pass@{k}"] for k in ks})

    def gradient_norms(self) -> pd.DataFrame | None:
        """The rows that the run, or a command about it, wrote last, or None."""
        file = self.folder / "figures" / GRADIENT_NORMS
        return pd.read_csv(file) if file.exists() else None


def read(folder: Path) -> Record:
    """Reads one run folder."""
    return _record(folders.read(folder))


def find(given: Iterable[Path]) -> list[Record]:
    """All image runs with an evaluation in the folders and below them, in order of their paths."""
    found = [_record(run) for run in folders.find(given) if "loss" in run.config]
    return [record for record in found if len(record.evaluations)]


def _record(run: RunFolder) -> Record:
    return Record(run.folder, run.config, run.table("eval"))


def groups(records: Iterable[Record]) -> dict[tuple[str, int], list[Record]]:
    """Records by (method, N), seeds together: cross-entropy first, then by method, the largest N first."""
    out: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        out.setdefault((record.method, record.num_rollouts), []).append(record)
    names = list(dict.fromkeys(["cross_entropy", "maxrl", "grpo", *(method for method, _ in out)]))
    return {key: out[key] for key in sorted(out, key=lambda key: (names.index(key[0]), -key[1]))}
