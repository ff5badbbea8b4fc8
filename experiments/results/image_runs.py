"""Run folders of the image experiment: evaluations, coverage, gradient norms."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import pandas as pd

from experiments.results import folders, groups
from experiments.results.folders import RunFolder

GRADIENT_NORMS = "gradient_norms.csv"
"""In the figures/ of a run: see `experiments.imagenet.gradient_norms`."""


class Record(RunFolder):
    """One run of the image driver."""

    @cached_property
    def evaluations(self) -> pd.DataFrame:
        """One row an evaluation, indexed by step, the eval/ metrics without their prefix."""
        return self.table("eval")

    @property
    def method(self) -> str:
        """cross_entropy, or the estimator's name."""
        return groups.method(self)

    @property
    def num_rollouts(self) -> int:
        """N of the training; 0 for cross-entropy, which draws none."""
        return 0 if self.method == "cross_entropy" else self.config["loss"]["num_rollouts"]

    def coverage(self, step: int | None = None) -> pd.Series:
        """pass@k at one evaluation (the last by default), over k."""
        row = self.evaluations.loc[self.evaluations.index[-1] if step is None else step]
        ks = sorted(int(name.removeprefix("pass@")) for name in row.index if name.startswith("pass@"))
        return pd.Series({k: row[f"pass@{k}"] for k in ks})

    def gradient_norms(self) -> pd.DataFrame | None:
        """The rows that the run, or a command about it, wrote last, or None."""
        file = self.folder / "figures" / GRADIENT_NORMS
        return pd.read_csv(file) if file.exists() else None


def read(folder: Path) -> Record:
    """Reads one run folder."""
    return folders.read(folder, kind=Record)


def find(given: Iterable[Path]) -> list[Record]:
    """All image runs with an evaluation in the folders and below them, in order of their paths."""
    return [run for run in folders.find(given, kind=Record) if "loss" in run.config and len(run.evaluations)]
