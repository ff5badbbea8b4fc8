"""The run folders a report is about, and which of them are seeds of one setting."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence

from experiments.results import folders, style
from experiments.results.folders import RunFolder
from maxrl_jax.runs.config.errors import ConfigError
from maxrl_jax.runs.folder import resume

PREFIXES = ("eval", "train", "sft", "perf")
"""Of metrics, in the order of the page: what matters most comes first."""

_METHODS = ("cross_entropy", "maxrl", "grpo", "rloo", "pkpo")
_METHOD_KEYS = ("rl.advantage.name", "loss.advantage.name")


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone: what a curve with a band is drawn from."""

    label: str
    runs: tuple[RunFolder, ...]

    @property
    def method(self) -> str:
        """See `method`."""
        return method(self.runs[0])


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


def method(run: RunFolder) -> str:
    """What its gradient is made by: an estimator's name, cross_entropy, or "" where the config names none."""
    fields = run.fields
    if fields.get("loss.name") == "cross_entropy":
        return "cross_entropy"
    return str(next((fields[key] for key in _METHOD_KEYS if key in fields), ""))


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
    labels = _labels([same[0] for same in together])
    return sorted((Group(label, tuple(same)) for label, same in zip(labels, together, strict=True)), key=_place)


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts pass@2 before pass@16."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _place(group: Group) -> tuple[int, list[tuple[int, str]]]:
    """MaxRL and the methods it is compared with first, each by its label; the others as they were given."""
    known = group.method in _METHODS
    return (_METHODS.index(group.method), natural(group.label)) if known else (len(_METHODS), [])


def differing(runs: Sequence[RunFolder]) -> list[str]:
    """The config fields in which the runs differ."""
    settings, absent = [run.fields for run in runs], object()
    keys = dict.fromkeys(key for fields in settings for key in fields)
    return [key for key in keys if any(fields.get(key, absent) != settings[0].get(key, absent) for fields in settings)]


def _labels(firsts: Sequence[RunFolder]) -> list[str]:
    """``MaxRL, num_rollouts=4`` where that tells the groups apart, else the folders' names."""
    keys = [key for key in differing(firsts) if key != "seed" and not _free(key)]
    last = [key.split(".")[-1] for key in keys]
    short = {key: word if last.count(word) == 1 else key for word, key in zip(last, keys, strict=True)}
    labels = [_label(run, short) for run in firsts]
    told_apart = len(set(labels)) == len(labels) and all(labels) and max(map(len, labels)) <= 80
    return labels if told_apart else [run.name for run in firsts]


def _label(run: RunFolder, short: Mapping[str, str]) -> str:
    """The run's method as every figure calls it, where methods differ, then the other fields in which runs differ."""
    of_method = {key for key in short if key in _METHOD_KEYS or key == "loss.name"}
    words = [style.LABELS.get(method(run), method(run))] if of_method else []
    # Cross-entropy has no rollouts and no estimator, whatever the fields beside it say.
    unused = method(run) == "cross_entropy"
    others = [key for key in short if key not in of_method and not (unused and key.startswith("loss."))]
    return ", ".join([*words, *(f"{short[key]}={run.fields.get(key)}" for key in others)])


def _free(key: str) -> bool:
    return key.split(".")[0] in resume.FREE
