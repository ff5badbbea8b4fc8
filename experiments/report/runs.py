"""The run folders a report is about, and which of them are seeds of one setting."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maxrl_jax.runs.config import fields
from maxrl_jax.runs.config.errors import ConfigError
from maxrl_jax.runs.folder import metric_writer, resume

PREFIXES = ("eval", "train", "sft", "perf")
"""Of metrics, in the order of the page: what matters most comes first."""

_METHODS = ("maxrl", "grpo", "rloo", "pkpo")


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """What a run left behind.

    Attributes:
        path: its folder.
        name: the folder's name.
        records: the lines of metrics.jsonl.
        config: its config, ``{"rl.steps": 200}``; empty when there is no config.json.
        environment: environment.json; empty when there is none.
    """

    path: Path
    name: str
    records: Sequence[dict[str, Any]]
    config: dict[str, Any]
    environment: dict[str, Any]

    @property
    def finished(self) -> bool:
        """Whether it has written its last line."""
        return "final/params_sha256" in self.records[-1]

    @property
    def seed(self) -> int:
        """Its seed; 0 without a config."""
        return self.config.get("seed", 0)

    def steps(self) -> dict[str, int]:
        """Steps logged by phase, without evaluations and timings."""
        done: dict[str, int] = {}
        for record in self.records:
            for phase in ("sft", "train"):  # in the order in which they run
                if not any(key.startswith(f"{phase}/") for key in record):
                    continue
                done[phase] = max(done.get(phase, 0), record["step"] + 1)
        return done

    def final(self) -> dict[str, Any]:
        """The final/ values."""
        return {key: value for record in self.records for key, value in record.items() if key.startswith("final/")}


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone: what a curve with a band is drawn from."""

    label: str
    runs: tuple[RunFolder, ...]


def find(folders: Sequence[str]) -> list[RunFolder]:
    """The runs of the command line: run folders, and folders of run folders such as a sweep's, each run once.

    Raises:
        ConfigError: a folder that is neither, or a run whose files cannot be read.
    """
    paths: list[Path] = []
    for folder in folders:
        path = Path(folder)
        if not path.is_dir():
            raise ConfigError("DIR", folder, "a folder that exists")
        inside = [path] if _has_metrics(path) else sorted(p for p in path.iterdir() if p.is_dir() and _has_metrics(p))
        if not inside:
            raise ConfigError("DIR", folder, "a run folder (with metrics.jsonl), or a folder of run folders")
        paths.extend(inside)
    unique = list({path.resolve(): path for path in paths}.values())
    names = [path.resolve().name for path in unique]
    return [
        read(path, name if names.count(name) == 1 else f"{path.resolve().parent.name}/{name}")
        for path, name in zip(unique, names, strict=True)
    ]


def read(path: Path, name: str) -> RunFolder:
    """Reads a run folder; the torn last line of a run that was killed, or still runs, is left out.

    Raises:
        ConfigError: no complete line, or a line or file that is not JSON.
    """
    records = []
    for number, line in enumerate(metric_writer.read_lines(path), start=1):
        try:
            records.append(json.loads(line))
        except ValueError:
            raise ConfigError("DIR", str(path), f"metrics of JSON objects; line {number} is none") from None
        if not isinstance(records[-1], dict) or not isinstance(records[-1].get("step"), int):
            raise ConfigError("DIR", str(path), f"metrics with a step in every line; line {number} has none")
    if not records:
        raise ConfigError("DIR", str(path), "a run that has logged at least one line")
    return RunFolder(path, name, records, fields.flatten(_json(path / "config.json")), _json(path / "environment.json"))


def group(runs: Sequence[RunFolder]) -> list[Group]:
    """Puts runs together whose configs differ in the seed alone, under what sets each apart from the others."""
    settings = [{key: run.config[key] for key in run.config if key != "seed" and not _free(key)} for run in runs]
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
    config = same[0].config
    name = config.get("rl.advantage.name", config.get("loss.advantage.name"))
    return _METHODS.index(name) if name in _METHODS else len(_METHODS)


def differing(runs: Sequence[RunFolder]) -> list[str]:
    """The config fields in which the runs differ."""
    keys = dict.fromkeys(key for run in runs for key in run.config)
    absent = object()
    return [key for key in keys if any(run.config.get(key, absent) != runs[0].config.get(key, absent) for run in runs)]


def _labels(firsts: Sequence[RunFolder]) -> list[str]:
    """``name=maxrl, num_rollouts=4`` where that tells the groups apart, else the folders' names."""
    keys = [key for key in differing(firsts) if key != "seed" and not _free(key)]
    last = [key.split(".")[-1] for key in keys]
    short = [word if last.count(word) == 1 else key for word, key in zip(last, keys, strict=True)]
    labels = [", ".join(f"{s}={run.config.get(k)}" for s, k in zip(short, keys, strict=True)) for run in firsts]
    told_apart = len(set(labels)) == len(labels) and all(labels) and max(map(len, labels)) <= 80
    return labels if told_apart else [run.name for run in firsts]


def _free(key: str) -> bool:
    return key.split(".")[0] in resume.FREE


def _has_metrics(path: Path) -> bool:
    return (path / metric_writer.NAME).exists() or bool(metric_writer.read_lines(path))


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text())
    except ValueError:
        raise ConfigError("DIR", str(path.parent), f"a folder whose {path.name} is readable") from None
    return value if isinstance(value, dict) else {}
