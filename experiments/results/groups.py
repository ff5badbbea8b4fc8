"""Grouping of runs, the only one: runs that differ in nothing but their seed, or in it and the seed's own base."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from experiments.results import style
from experiments.results.folders import RunFolder
from maxrl_jax import advantages
from maxrl_jax.runs.folder import resume

R = TypeVar("R", bound=RunFolder)

_FIRST = ("base", "cross_entropy", "maxrl", "grpo", "rloo", "pkpo")
_AT_A_TIME = ("decode_rows", "decode_segments", "micro_batch", "micro_batch_tokens", "remat", "export_dtype")
"""How much a device works on at a time, which changes speed and memory, and results by rounding alone."""
_BASE = "model.init_from"


class Mixed(Exception):
    """Runs that must not be joined; str() says which and why."""


@dataclasses.dataclass(frozen=True)
class Group(Generic[R]):
    """Runs that are seeds of one setting.

    Attributes:
        method: as `method` gives it.
        key: the method, then the fields that set it apart from other groups of the method; a run's name where these
            do not.
        label: the key with the method as legends call it.
        runs: in the order given.
    """

    method: str
    key: str
    label: str
    runs: tuple[R, ...]


def method(run: RunFolder) -> str:
    """``maxpo_k4``, ``grpo_entropy``, ``cross_entropy``; base without RL, "" for a config that names no estimator.

    These are the names of results/published.csv: the estimator, its k or order, whether there is an entropy bonus.
    """
    fields = run.fields
    if fields.get("loss.name") == "cross_entropy":
        return "cross_entropy"
    section = next((s for s in ("rl", "loss") if f"{s}.advantage.name" in fields), None)
    if section is None:
        return ""
    if fields.get("rl.steps") == 0:
        return "base"
    name = str(fields[f"{section}.advantage.name"])
    hyper = advantages.TABLE[name].defaults if name in advantages.TABLE else {}
    for key, sign in (("k", "_k"), ("order", "_")):
        if key in hyper and (value := fields.get(f"{section}.advantage.{key}")) is not None:
            phases = [str(phase[1]) for phase in value] if isinstance(value, list | tuple) else [str(value)]
            name += sign + "to".join(phases)
    return name + ("_entropy" if fields.get("rl.entropy_coef") else "")


def parts(method: str) -> tuple[str, str, bool]:
    """The estimator, its k or order ("" for none), and whether there is an entropy bonus."""
    name = method if method == "cross_entropy" else method.removesuffix("_entropy")
    match = re.fullmatch(r"(.+?)_k?(\d+(?:to\d+)*)", name)
    return (*(match.groups() if match else (name, "")), name != method)


def label(method: str) -> str:
    """The name of a method in legends and tables."""
    estimator, parameter, entropy = parts(method)
    text = style.LABELS.get(estimator, estimator)
    if parameter:
        parameter = parameter.replace("to", " to ")
        text = f"{text} {parameter}" if text.endswith(" order") else f"{text}, k={parameter}"
    return text + (" + entropy" if entropy else "")


def group(runs: Sequence[R]) -> list[Group[R]]:
    """The groups of some runs, MaxRL and the methods it is compared with first, the others in the order given.

    Where a seed comes twice with the same settings every run is a group: two launches are no spread over seeds.
    """
    apart = settings(runs)
    members: dict[str, list[int]] = {}
    for i, setting in enumerate(apart):
        members.setdefault(json.dumps(setting, sort_keys=True) if setting else runs[i].name, []).append(i)
    together = list(members.values())
    if any(len({runs[i].seed for i in same}) < len(same) for same in together):
        together = [[i] for i in range(len(runs))]
    firsts = [runs[same[0]] for same in together]
    methods = [method(run) for run in firsts]
    extras = _extras(methods, [apart[same[0]] for same in together])
    keys = [", ".join(filter(None, pair)) for pair in zip(methods, extras, strict=True)]
    labels = [", ".join(filter(None, (label(m), extra))) for m, extra in zip(methods, extras, strict=True)]
    if len(set(keys)) < len(keys) or not all(keys) or max(map(len, labels)) > 80:
        keys = labels = [run.name for run in firsts]
    groups = [
        Group(*names, tuple(runs[i] for i in same))
        for *names, same in zip(methods, keys, labels, together, strict=True)
    ]
    return sorted(groups, key=_place)


def by(groups: Sequence[Group[R]], key: Callable[[Group[R]], Hashable]) -> dict[Any, Group[R]]:
    """The groups by a key that a figure tells them apart by.

    Raises:
        Mixed: two groups have the same key.
    """
    found: dict[Any, Group[R]] = {}
    for one in groups:
        other = found.setdefault(key(one), one)
        if other is not one:
            fields = ", ".join(differing([other.runs[0], one.runs[0]])) or "nothing but the launch"
            raise Mixed(f"{other.runs[0].name} and {one.runs[0].name} would be one point, and differ in {fields}")
    return found


def settings(runs: Sequence[RunFolder]) -> list[dict[str, Any]]:
    """The fields that set runs apart: each one's config without its seed and without fields that change no result.

    Where every seed starts from a base of its own, the base goes with the seed: `_BASE` is left out too. Where some
    seed has several bases and nothing else differs, bases are compared, and it stays. A field that is absent, as in
    runs made before it existed, is the same as one that is off.
    """
    found = [{k: v for k, v in run.fields.items() if v and _matters(k, run.fields)} for run in runs]
    bases: dict[str, dict[int, set[str]]] = {}  # of runs that are otherwise the same, by seed
    for run, setting in zip(runs, found, strict=True):
        rest = json.dumps({key: value for key, value in setting.items() if key != _BASE}, sort_keys=True)
        bases.setdefault(rest, {}).setdefault(run.seed, set()).add(str(setting.get(_BASE)))
    one_a_seed = all(len(names) == 1 for by_seed in bases.values() for names in by_seed.values())
    several = any(len(set().union(*by_seed.values())) > 1 for by_seed in bases.values())
    if one_a_seed and several:
        found = [{key: value for key, value in setting.items() if key != _BASE} for setting in found]
    return found


def differing(runs: Sequence[RunFolder]) -> list[str]:
    """The config fields in which runs differ."""
    return _differing([run.fields for run in runs])


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts pass@2 before pass@16."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _place(group: Group) -> tuple[int, list[tuple[int, str]]]:
    known = group.method in _FIRST
    return (_FIRST.index(group.method), natural(group.label)) if known else (len(_FIRST), [])


def _differing(given: Sequence[Mapping[str, Any]]) -> list[str]:
    absent = object()
    keys = dict.fromkeys(key for fields in given for key in fields)
    return [key for key in keys if any(fields.get(key, absent) != given[0].get(key, absent) for fields in given)]


def _extras(methods: Sequence[str], apart: Sequence[Mapping[str, Any]]) -> list[str]:
    """``num_rollouts=4``: the fields in which the groups of one method differ."""
    found = []
    for name, setting in zip(methods, apart, strict=True):
        same = [other for m, other in zip(methods, apart, strict=True) if m == name]
        # Cross-entropy has no rollouts and no estimator, whatever the fields beside it say.
        keys = [key for key in _differing(same) if not (name == "cross_entropy" and key.startswith("loss."))]
        last = [key.split(".")[-1] for key in keys]
        short = [word if last.count(word) == 1 else key for word, key in zip(last, keys, strict=True)]
        found.append(", ".join(f"{word}={setting.get(key)}" for word, key in zip(short, keys, strict=True)))
    return found


def _matters(key: str, fields: Mapping[str, Any]) -> bool:
    """Whether a field of a config can change results between runs of one seed; those of an SFT of 0 steps do not."""
    names = key.split(".")
    unused = names[0] == "sft" and not fields.get("sft.steps")
    return not (key == "seed" or unused or names[0] in resume.FREE or names[-1] in _AT_A_TIME)
