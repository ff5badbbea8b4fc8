"""Run folders of language-model policies (mazes, word problems, mathematics): evaluations and successes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.results import folders, groups
from experiments.results.folders import RunFolder
from experiments.results.groups import Group
from experiments.results.spread import Spread, spread
from maxrl_jax import metrics
from maxrl_jax.tasks.maze import blind as blind_walker


class Counts(NamedTuple):
    """Successes of each prompt [M] among so many samples."""

    solved: np.ndarray
    num_samples: int

    def pass_curve(self, ks: Sequence[int]) -> np.ndarray:
        """Unbiased pass@k, mean over prompts, for every k of `ks`."""
        return metrics.pass_at_k(self.num_samples, self.solved, np.asarray(ks)).mean(axis=0)

    def samples_to_reach(self, target: float) -> int | None:
        """The fewest samples k whose pass@k reaches `target`, None when all do not.

        The ratio of two runs' numbers at one target is the paper's efficiency factor.
        """
        reached = np.flatnonzero(self.pass_curve(range(1, self.num_samples + 1)) >= target - 1e-12)
        return int(reached[0]) + 1 if len(reached) else None


class Record(RunFolder):
    """One run of a language-model policy."""

    @cached_property
    def train(self) -> pd.DataFrame:
        """One row a logged step: step and the train/ metrics without their prefix."""
        return self.table("train").reset_index()

    @cached_property
    def evaluations(self) -> dict[int, dict[str, Any]]:
        """step -> {metric without eval/: value}, `solved` as an int array [M], successes of each prompt."""
        logged = self.values("eval").items()
        return {step: {**v, "solved": np.asarray(v["solved"], int)} for step, v in logged if "solved" in v}

    @cached_property
    def summaries(self) -> dict[str, dict[str, Any]]:
        """summary.json of the evaluations of its final model in evaluation/, by kind of held-out problems."""
        found = map(json.loads, (file.read_text() for file in sorted(self.folder.glob("evaluation/*/summary.json"))))
        return {summary.get("held_out", ""): summary for summary in found}

    @property
    def method(self) -> str:
        """See `groups.method`."""
        return groups.method(self)

    @property
    def task(self) -> str:
        """The task it was trained on: maze, words, mathematics, reasoning_gym, or a user's own, my.module:factory."""
        return self.config.get("task", "maze")  # runs made before tasks had names were of mazes

    @property
    def training_set(self) -> int:
        """Problems of the fixed set that RL runs over; 0 where every prompt is new, or the config does not say it."""
        own = self.config.get(self.task, {}) if self.task != "reasoning_gym" else {}  # it has at most so many a task
        return own.get("training_set") or own.get("num_problems", 0)

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

    def counts(self, step: int | None = None) -> Counts:
        """Successes at one evaluation, the last by default."""
        return Counts(self.evaluations[max(self.evaluations) if step is None else step]["solved"], self.num_samples)

    def pass_curve(self, ks: Sequence[int], step: int | None = None) -> np.ndarray:
        """Unbiased pass@k at one evaluation (the last by default), mean over prompts, for every k of `ks`."""
        return self.counts(step).pass_curve(ks)


def read(folder: Path) -> Record:
    """Reads one run folder."""
    return folders.read(folder, kind=Record)


def find(given: Iterable[Path]) -> list[Record]:
    """All runs of policies with an evaluation in the folders and below them, in order of their paths."""
    return [record for record in folders.find(given, kind=Record) if record.evaluations]


def last_common_step(records: Iterable[Record]) -> int:
    """The last step that every run was evaluated at, before RL (0) among them.

    Raises:
        groups.Mixed: there is none.
    """
    steps = set.intersection(*(set(record.evaluations) for record in records))
    if not steps:
        raise groups.Mixed("no step at which each of the runs was evaluated")
    return max(steps)


def ends(groups: Sequence[Group[Record]]) -> list[tuple[Group[Record], list[int]]]:
    """The bases with the step of each one's first evaluation, then the groups with the last that all runs have."""
    found = [record for one in groups for record in one.runs]
    base, step = bases(found), last_common_step(found)
    return [(base, [min(run.evaluations) for run in base.runs]), *((one, [step] * len(one.runs)) for one in groups)]


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


def bases(records: Iterable[Record]) -> Group[Record]:
    """The evaluations before RL, each once: runs of one seed from one base repeat its own, number for number."""
    first = {(r.seed, tuple(r.evaluations[min(r.evaluations)]["solved"])): r for r in reversed(list(records))}
    return Group("base", "base", groups.label("base"), tuple(reversed(first.values())))


def base(records: Iterable[Record], ks: Sequence[int]) -> Spread:
    """pass@k before RL for every k of `ks`, over the `bases`."""
    return spread(np.stack([record.pass_curve(ks, min(record.evaluations)) for record in bases(records).runs]))


def blind(records: Iterable[Record], ks: Sequence[int]) -> np.ndarray | None:
    """pass@k of a walker that knows only where the goal is, on the runs' held-out mazes; None for other tasks."""
    records = list(records)
    if any(record.task != "maze" for record in records):
        return None
    sets = {(c["maze"]["size"], c["eval"]["num_mazes"], c["eval"]["seed"]) for c in (r.config for r in records)}
    curves = [blind_walker.pass_at_k(blind_walker.held_out_share(*one), one[0], np.asarray(ks)) for one in sets]
    return np.mean(curves, axis=0)
