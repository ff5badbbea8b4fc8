"""The run folders a report is about, and which of them are seeds of one setting."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from experiments.results import folders
from experiments.results.folders import RunFolder
from maxrl_jax.runs.config.errors import ConfigError
from maxrl_jax.runs.folder import resume

PREFIXES = ("eval", "train", "sft", "perf")
"""Of metrics, in the order of the page: what matters most comes first."""

_METHODS = ("maxrl", "grpo", "rloo", "pkpo")


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone: what a curve with a band is drawn from."""

    label: str
    runs: tuple[RunFolder, ...]


def find(given: Sequence[str]) -> list[RunFolder]:
    """The runs of the command line, see `folders.find`, each with something logged.

    Raises:
        ConfigError: a folder that has none, or a run whose files cannot be read.
    """
    found = folders.find(given, "DIR")
    for run in found:
        if not run.records:
            raise ConfigError("DIR", str(run.folder), "a run that has logged at least one line")
    return found


def steps(run: RunFolder) -> dict[str, int]:
    """Steps logged by phase, in the order in which they run, without evaluations and timings."""
    return {phase: max(found) + 1 for phase in ("sft", "train") if (found := run.values(phase))}


def group(runs: Sequence[RunFolder]) -> list[Group]:
    """Puts runs together whose configs differ in the seed alone, under what sets each apart from the others."""
    settings = [{key: value for key, value in run.fields.items() if key != "seed" and not _free(key)} for run in runs]
    members: dict[str, list[RunFolder]] = {}
    for run, setting in zip(runs, settings, strict=True):
        members.setdefault(json.dumps(setting, sort_keys=True) if setting else run.name, []).append(run)
    together = list(members.values())
    # The same seed twice is a comparison of two launches, not a spread over seeds.
    if any(len({run.seed for run in same}) < len(same) for same in together):
        together = [[run] for run in runs]
    together.sort(key=_place)
    labels = _labels([same[0] for same in together])
    return [Group(label, tuple(same)) for label, same in zip(labels, together, strict=True)]


def _place(same: Sequence[RunFolder]) -> int:
    """MaxRL and the methods it is compared with first, so that they keep the colours they have in every figure."""
    config = same[0].fields
    name = config.get("rl.advantage.name", config.get("loss.advantage.name"))
    return _METHODS.index(name) if name in _METHODS else len(_METHODS)


def differing(runs: Sequence[RunFolder]) -> list[str]:
    """The config fields in which the runs differ."""
    settings, absent = [run.fields for run in runs], object()
    keys = dict.fromkeys(key for fields in settings for key in fields)
    return [key for key in keys if any(fields.get(key, absent) != settings[0].get(key, absent) for fields in settings)]


def _labels(firsts: Sequence[RunFolder]) -> list[str]:
    """``name=maxrl, num_rollouts=4`` where that tells the groups apart, else the folders' names."""
    keys = [key for key in differing(firsts) if key != "seed" and not _free(key)]
    last = [key.split(".")[-1] for key in keys]
    short = [word if last.count(word) == 1 else key for word, key in zip(last, keys, strict=True)]
    labels = [", ".join(f"{s}={run.fields.get(k)}" for s, k in zip(short, keys, strict=True)) for run in firsts]
    told_apart = len(set(labels)) == len(labels) and all(labels) and max(map(len, labels)) <= 80
    return labels if told_apart else [run.name for run in firsts]


def _free(key: str) -> bool:
    return key.split(".")[0] in resume.FREE
