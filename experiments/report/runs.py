"""The run folders a report is about, and which of them are seeds of one setting."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.results import folders, style
from experiments.results.folders import RunFolder
from maxrl_jax.runs.config.errors import ConfigError
from maxrl_jax.runs.folder import resume

PREFIXES = ("eval", "train", "sft", "perf")
"""Of metrics, in the order of the page: what matters most comes first."""

_METHODS = ("cross_entropy", "maxrl", "grpo", "rloo", "pkpo")
_AT_A_TIME = ("decode_rows", "micro_batch", "micro_batch_tokens")
"""How much a device works on at a time, which changes speed and memory, and results by rounding alone."""
_BASE = "model.init_from"
_METHOD_KEYS = ("rl.advantage.name", "loss.advantage.name")


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that are seeds of one setting: what a curve with a band is drawn from."""

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
    """Puts runs together that differ in their seed alone, or in it and the base of that seed, see `settings`.

    Each group is under what sets it apart from the others.
    """
    told_apart_by = settings(runs)
    members: dict[str, list[int]] = {}
    for i, (run, setting) in enumerate(zip(runs, told_apart_by, strict=True)):
        members.setdefault(json.dumps(setting, sort_keys=True) if setting else run.name, []).append(i)
    together = list(members.values())
    # The same seed twice is a comparison of two launches, not a spread over seeds.
    if any(len({runs[i].seed for i in same}) < len(same) for same in together):
        together = [[i] for i in range(len(runs))]
    labels = _labels([runs[same[0]] for same in together], [told_apart_by[same[0]] for same in together])
    groups = [Group(label, tuple(runs[i] for i in same)) for label, same in zip(labels, together, strict=True)]
    return sorted(groups, key=_place)


def settings(runs: Sequence[RunFolder]) -> list[dict[str, Any]]:
    """The fields that set runs apart: each one's config without its seed and without what changes no result.

    Where every seed starts from a base of its own, the base goes with the seed: `_BASE` is left out too. Where some
    seed has several bases and nothing else differs, bases are what is compared, and it stays.
    """
    found = [{key: value for key, value in run.fields.items() if key != "seed" and not _free(key)} for run in runs]
    bases: dict[str, dict[int, set[str]]] = {}  # of runs that are otherwise the same, by seed
    for run, setting in zip(runs, found, strict=True):
        rest = json.dumps({key: value for key, value in setting.items() if key != _BASE}, sort_keys=True)
        bases.setdefault(rest, {}).setdefault(run.seed, set()).add(str(setting.get(_BASE)))
    one_a_seed = all(len(names) == 1 for by_seed in bases.values() for names in by_seed.values())
    several = any(len(set().union(*by_seed.values())) > 1 for by_seed in bases.values())
    if one_a_seed and several:
        found = [{key: value for key, value in setting.items() if key != _BASE} for setting in found]
    return found


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts pass@2 before pass@16."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _place(group: Group) -> tuple[int, list[tuple[int, str]]]:
    """MaxRL and the methods it is compared with first, each by its label; the others as they were given."""
    known = group.method in _METHODS
    return (_METHODS.index(group.method), natural(group.label)) if known else (len(_METHODS), [])


def differing(runs: Sequence[RunFolder]) -> list[str]:
    """The config fields in which the runs differ."""
    return _differing([run.fields for run in runs])


def _differing(given: Sequence[Mapping[str, Any]]) -> list[str]:
    absent = object()
    keys = dict.fromkeys(key for fields in given for key in fields)
    return [key for key in keys if any(fields.get(key, absent) != given[0].get(key, absent) for fields in given)]


def _labels(firsts: Sequence[RunFolder], told_apart_by: Sequence[Mapping[str, Any]]) -> list[str]:
    """``MaxRL, num_rollouts=4`` where that tells the groups apart, else the folders' names."""
    keys = _differing(told_apart_by)
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
    names = key.split(".")
    return names[0] in resume.FREE or names[-1] in _AT_A_TIME
