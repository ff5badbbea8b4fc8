"""Run folders, read back: config.json, environment.json and metrics.jsonl. The one reader there is."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config import fields
from maxrl_jax.runs.folder import metric_writer

_METRICS = re.compile(r"metrics(-\d+)?\.jsonl")  # of a file system, or the numbered parts of a bucket's copy


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """The files of a run.

    Attributes:
        folder: its folder.
        name: the folder's name; beside another run of that name as many of the folders above it as differ.
        config: its config.json, nested; empty where there is none.
        environment: its environment.json; empty where there is none.
        records: the lines of metrics.jsonl, in order.
    """

    folder: Path
    name: str
    config: dict[str, Any]
    environment: dict[str, Any]
    records: Sequence[dict[str, Any]]

    @property
    def fields(self) -> dict[str, Any]:
        """The config by dotted names, ``{"rl.steps": 200}``."""
        return fields.flatten(self.config)

    @property
    def seed(self) -> int:
        """Its seed; 0 without a config."""
        return self.config.get("seed", 0)

    @property
    def finished(self) -> bool:
        """Whether it has written its last line."""
        return bool(self.records) and "final/params_sha256" in self.records[-1]

    def values(self, prefix: str) -> dict[int, dict[str, Any]]:
        """``{step: {"name": value}}`` of the metrics ``prefix/name``, values as logged (a list is a list).

        Of a step logged in several lines, or twice, the later value of a name counts.
        """
        found: dict[int, dict[str, Any]] = {}
        for record in self.records:
            own = {name.removeprefix(f"{prefix}/"): v for name, v in record.items() if name.startswith(f"{prefix}/")}
            if own:
                found.setdefault(record["step"], {}).update(own)
        return found

    def table(self, prefix: str) -> pd.DataFrame:
        """`values` with one row a step, indexed by it, in order; empty where nothing was logged."""
        found = self.values(prefix)
        return pd.DataFrame.from_dict(found, orient="index").rename_axis("step").sort_index()

    def final(self) -> dict[str, Any]:
        """The final/ values, by their whole names."""
        return {name: value for record in self.records for name, value in record.items() if name.startswith("final/")}


R = TypeVar("R", bound=RunFolder)


def find(folders: Iterable[str | os.PathLike], key: str = "--runs", kind: type[R] = RunFolder) -> list[R]:
    """The runs in some folders: each is a run folder, or one above run folders at any depth (a sweep's).

    Args:
        folders: in the order wanted; runs inside one come in order of their paths, and each run comes once.
        key: of the errors, the flag the folders were given by.
        kind: the class of a run: `RunFolder`, or that of one experiment's runs.

    Raises:
        ConfigError: a folder without any run, or a run whose files cannot be read.
    """
    paths: list[Path] = []
    for folder in folders:
        if not Path(folder).is_dir():
            raise ConfigError(key, os.fspath(folder), "a folder that exists")
        inside = _inside(Path(folder))
        if not inside:
            raise ConfigError(key, os.fspath(folder), "a run folder (with metrics.jsonl), or a folder of run folders")
        paths += inside
    unique = {path.resolve(): path for path in paths}
    return [read(path, key, name, kind) for path, name in zip(unique.values(), _names(list(unique)), strict=True)]


def read(folder: str | os.PathLike, key: str = "--runs", name: str = "", kind: type[R] = RunFolder) -> R:
    """Reads one run folder; the torn last line of a run that was killed, or still runs, is left out.

    Raises:
        ConfigError: a line or a file that is not JSON, a line without a step.
    """
    path = Path(folder)
    records = []
    for number, line in enumerate(metric_writer.read_lines(path), start=1):
        try:
            records.append(json.loads(line))
        except ValueError:
            raise ConfigError(key, str(path), f"metrics of JSON objects; line {number} is none") from None
        if not isinstance(records[-1], dict) or not isinstance(records[-1].get("step"), int):
            raise ConfigError(key, str(path), f"metrics with a step in every line; line {number} has none")
    config, environment = (_json(path / file, key) for file in ("config.json", "environment.json"))
    return kind(path, name or path.resolve().name, config, environment, records)


def _names(paths: Sequence[Path]) -> list[str]:
    """The end of each path, as long as tells it from the others."""
    found = []
    for path in paths:
        length = 1
        while sum(other.parts[-length:] == path.parts[-length:] for other in paths) > 1:
            length += 1
        found.append("/".join(path.parts[-length:]))
    return found


def _inside(folder: Path) -> list[Path]:
    """The folder itself where it is a run's, else those below it; not those inside a run's."""
    found = []
    for where, below, files in os.walk(folder, followlinks=True):
        if any(_METRICS.fullmatch(name) for name in files):
            found.append(Path(where))
            below.clear()
        below.sort()
    return found


def _json(path: Path, key: str) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text())
    except ValueError:
        raise ConfigError(key, str(path.parent), f"a folder whose {path.name} is readable") from None
    return value if isinstance(value, dict) else {}
