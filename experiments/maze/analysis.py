"""What the run folders of the maze experiment hold, read back for figures and tables."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from maxrl_jax import metrics
from maxrl_jax.runs.folder.metric_writer import read_metrics


@dataclasses.dataclass(frozen=True)
class Record:
    """One run of the maze driver.

    Attributes:
      folder: the run's folder.
      config: its config.json.
      train: one row a step: step and the train/ metrics without their prefix.
      evaluations: step -> {metric without eval/: value}, `solved` as an int array [M].
    """

    folder: Path
    config: dict[str, Any]
    train: pd.DataFrame
    evaluations: dict[int, dict[str, Any]]

    @property
    def method(self) -> str:
        """The estimator's name, with `_entropy` where an entropy bonus is on, as in results/published.csv."""
        name = self.config["rl"]["advantage"]["name"]
        k = self.config["rl"]["advantage"]["k"]
        if name in ("maxpo", "pkpo", "expected_improvement", "chen", "bagirov"):
            name = f"{name}_k{k}"
        if name == "maxrl_order":
            name = f"{name}_{self.config['rl']['advantage']['order']}"
        return name + ("_entropy" if self.config["rl"]["entropy_coef"] else "")

    @property
    def num_rollouts(self) -> int:
        """N of the training."""
        return self.config["rl"]["num_rollouts"]

    @property
    def num_samples(self) -> int:
        """Samples of each maze in an evaluation."""
        return self.config["eval"]["num_samples"]

    def pass_curve(self, ks: Sequence[int], step: int | None = None) -> np.ndarray:
        """Unbiased pass@k at one evaluation (the last by default), mean over mazes, for every k of `ks`."""
        step = max(self.evaluations) if step is None else step
        solved = self.evaluations[step]["solved"]
        return metrics.pass_at_k(self.num_samples, solved, np.asarray(ks)).mean(axis=0)


def read(folder: Path) -> Record:
    """Reads one run folder."""
    config = json.loads((folder / "config.json").read_text())
    train, evaluations = [], {}
    for line in read_metrics(folder):
        step = line["step"]
        values = {key.removeprefix("train/"): v for key, v in line.items() if key.startswith("train/")}
        if values:
            train.append({"step": step, **values})
        values = {key.removeprefix("eval/"): v for key, v in line.items() if key.startswith("eval/")}
        if values:
            evaluations[step] = {**values, "solved": np.asarray(values["solved"], int)}
    return Record(folder, config, pd.DataFrame(train), evaluations)


def find(folders: Iterable[Path]) -> list[Record]:
    """All maze runs with an evaluation in the folders and below them, in order of their paths."""
    found = []
    for folder in folders:
        for path in sorted(folder.rglob("config.json")):
            if path.parent.name == "model" or not (path.parent / "metrics.jsonl").exists():
                continue
            if "maze" in json.loads(path.read_text()):
                found.append(read(path.parent))
    return [record for record in found if record.evaluations]


def groups(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Records by method, seeds together, in the order of their first appearance."""
    out: dict[str, list[Record]] = {}
    for record in records:
        out.setdefault(record.method, []).append(record)
    return out


def spread(values: Sequence[float]) -> tuple[float, float, int]:
    """(mean, standard error or NaN for a single run, number of runs)."""
    array = np.asarray(values, float)
    error = float(array.std(ddof=1) / np.sqrt(len(array))) if len(array) > 1 else float("nan")
    return float(array.mean()), error, len(array)


def support(base: np.ndarray, final: np.ndarray) -> dict[str, int]:
    """Mazes whose support was kept, lost, gained, or that neither policy solves (MaxPO Figure 9).

    Args:
      base: successes of each maze before RL, int [M].
      final: successes after it, with as many samples.
    """
    before, after = np.asarray(base) > 0, np.asarray(final) > 0
    return {
        "kept": int((before & after).sum()),
        "lost": int((before & ~after).sum()),
        "gained": int((~before & after).sum()),
        "neither": int((~before & ~after).sum()),
    }


def samples_to_reach(target: float, solved: np.ndarray, num_samples: int) -> int | None:
    """The fewest samples k whose unbiased pass@k reaches `target`, None when num_samples do not.

    The ratio of two runs' numbers at one target is the paper's efficiency factor.
    """
    curve = metrics.pass_at_k(num_samples, np.asarray(solved), np.arange(1, num_samples + 1)).mean(axis=0)
    reached = np.flatnonzero(curve >= target - 1e-12)
    return int(reached[0]) + 1 if len(reached) else None
