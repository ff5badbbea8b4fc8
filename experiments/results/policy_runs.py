"""Run folders of language-model policies (mazes, word problems, mathematics): method, evaluations, what was solved."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.results import folders
from experiments.results.folders import RunFolder
from experiments.results.spread import Spread, spread
from maxrl_jax import metrics


@dataclasses.dataclass(frozen=True)
class Record:
    """One run of `experiments.maze` or `experiments.llm`.

    Attributes:
      folder: the run's folder.
      config: its config.json.
      train: one row a step: step and the train/ metrics without their prefix.
      evaluations: step -> {metric without eval/: value}, `solved` as an int array [M], successes of each prompt.
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
    def task(self) -> str:
        """What it was trained on: maze, words, mathematics, or a user's own, my.module:factory."""
        return self.config.get("task", "maze")  # runs made before tasks had names were of mazes

    @property
    def training_set(self) -> int:
        """Problems of the fixed set that RL runs over; 0 where every prompt is new, or the set is a file's."""
        sizes = {"maze": ("maze", "training_set"), "words": ("words", "num_problems")}
        if self.task not in sizes:
            return 0
        group, field = sizes[self.task]
        return self.config[group][field]

    @property
    def epochs_per_step(self) -> float:
        """Share of the fixed training set that one RL step takes; 0 without such a set."""
        return self.num_prompts / self.training_set if self.training_set else 0.0

    @property
    def num_rollouts(self) -> int:
        """N of the training."""
        return self.config["rl"]["num_rollouts"]

    @property
    def num_prompts(self) -> int:
        """P of a training step."""
        return self.config["rl"]["num_prompts"]

    @property
    def num_samples(self) -> int:
        """Samples of each prompt in an evaluation."""
        return self.config["eval"]["num_samples"]

    def pass_curve(self, ks: Sequence[int], step: int | None = None) -> np.ndarray:
        """Unbiased pass@k at one evaluation (the last by default), mean over prompts, for every k of `ks`."""
        step = max(self.evaluations) if step is None else step
        solved = self.evaluations[step]["solved"]
        return metrics.pass_at_k(self.num_samples, solved, np.asarray(ks)).mean(axis=0)


def read(folder: Path) -> Record:
    """Reads one run folder."""
    return _record(folders.read(folder))


def find(given: Iterable[Path]) -> list[Record]:
    """All runs of policies with an evaluation in the folders and below them, in order of their paths."""
    found = [_record(run) for run in folders.find(given)]
    return [record for record in found if record.evaluations]


def _record(run: RunFolder) -> Record:
    logged = run.values("eval").items()
    evaluations = {step: {**v, "solved": np.asarray(v["solved"], int)} for step, v in logged if "solved" in v}
    return Record(run.folder, run.config, run.table("train").reset_index(), evaluations)


def groups(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Records by method, seeds together, in the order of their first appearance."""
    out: dict[str, list[Record]] = {}
    for record in records:
        out.setdefault(record.method, []).append(record)
    return out


def last_common_step(records: Sequence[Record]) -> int | None:
    """The last step that every run was evaluated at, before RL (0) among them; None where there is none."""
    return max(set.intersection(*(set(record.evaluations) for record in records)), default=None)


def support(base: np.ndarray, final: np.ndarray) -> dict[str, int]:
    """Prompts whose support was kept, lost, gained, or that neither policy solves (MaxPO Figure 9).

    Args:
      base: successes of each prompt before RL, int [M].
      final: successes after it, with as many samples.
    """
    before, after = np.asarray(base) > 0, np.asarray(final) > 0
    return {
        "kept": int((before & after).sum()),
        "lost": int((before & ~after).sum()),
        "gained": int((~before & after).sum()),
        "neither": int((~before & ~after).sum()),
    }


def base(records: Iterable[Record], ks: Sequence[int]) -> Spread:
    """pass@k before RL for every k of `ks`, over the seeds: runs of one seed share their base."""
    bases = {record.config["seed"]: record.pass_curve(ks, min(record.evaluations)) for record in records}
    return spread(np.stack(list(bases.values())))


def samples_to_reach(target: float, solved: np.ndarray, num_samples: int) -> int | None:
    """The fewest samples k whose unbiased pass@k reaches `target`, None when num_samples do not.

    The ratio of two runs' numbers at one target is the paper's efficiency factor.
    """
    curve = metrics.pass_at_k(num_samples, np.asarray(solved), np.arange(1, num_samples + 1)).mean(axis=0)
    reached = np.flatnonzero(curve >= target - 1e-12)
    return int(reached[0]) + 1 if len(reached) else None
