"""The runs of a sweep: the product of its grids and seeds, each with its overrides and its folder's name."""

import dataclasses
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config import override


@dataclasses.dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Attributes:
        values: the grid's fields with their values, as text: what is compared.
        seed: the run's seed: what is averaged over.
    """

    values: tuple[tuple[str, str], ...]
    seed: int

    @property
    def label(self) -> str:
        """``field=value,...`` without the seed; "all" without a grid."""
        return ",".join(f"{key}={value}" for key, value in self.values) or "all"

    @property
    def folder(self) -> str:
        """Name of the run's folder: its values and its seed, in characters every store takes."""
        return re.sub(r"[^A-Za-z0-9._=,+-]", "_", f"{self.label},seed={self.seed}")

    @property
    def overrides(self) -> list[str]:
        """The run's config arguments."""
        return [f"--config.{key}={value}" for key, value in self.values] + [f"--config.seed={self.seed}"]


def parse(text: str) -> list[tuple[tuple[str, str], ...]]:
    """Reads one ``--grid``: ``field=v1,v2`` or, for fields that change together, ``f1+f2=a+1,b+2``.

    Commas inside brackets belong to the value.

    Raises:
        ConfigError: it does not read as that.

    Example:
        >>> parse("rl.num_rollouts=4,8")
        [(('rl.num_rollouts', '4'),), (('rl.num_rollouts', '8'),)]
    """
    name, equals, listed = text.partition("=")
    keys = [key.strip().removeprefix("config.") for key in name.split("+")]
    entries = split(listed)
    if not equals or not all(keys) or not all(entries):
        raise ConfigError("--grid", text, "FIELD=VALUE,VALUE or FIELD+FIELD=VALUE+VALUE,VALUE+VALUE")
    points = []
    for entry in entries:
        values = entry.split("+") if len(keys) > 1 else [entry]
        if len(values) != len(keys):
            raise ConfigError("--grid", text, f"{len(keys)} values joined by + in each entry (here {entry!r})")
        points.append(tuple(zip(keys, values, strict=True)))
    return points


def split(listed: str) -> list[str]:
    """Splits at the commas outside brackets."""
    depth, entries = 0, [""]
    for character in listed:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            entries.append("")
        else:
            entries[-1] += character
    return [entry.strip() for entry in entries]


def points(grids: Sequence[str], seeds: int) -> list[Point]:
    """All runs of a sweep: every combination of the grids, with seeds 0 .. seeds - 1.

    Raises:
        ConfigError: a malformed grid, a field in two grids, or no seed.
    """
    if seeds < 1:
        raise ConfigError("--seeds", seeds, "at least 1")
    axes = [parse(text) for text in grids]
    keys = [key for axis in axes for key, _ in axis[0]]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError("--grid", key, "each field in one grid")
        if key == "seed":
            raise ConfigError("--grid", key, "--seeds=N for the seeds")
    runs = [
        Point(tuple(itertools.chain.from_iterable(combination)), seed)
        for combination in itertools.product(*axes)
        for seed in range(seeds)
    ]
    names = [run.folder for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError("--grid", name, "values whose folder names differ")
    return runs


def check_not_fixed(runs: Sequence[Point], overrides: Sequence[str]) -> None:
    """Refuses a field that the command line sets for every run and the sweep for each: one of the two would be lost.

    Raises:
        ConfigError: there is one.
    """
    varied = {override.key_of(argument) for run in runs for argument in run.overrides}
    for argument in overrides:
        key = override.key_of(argument)
        if key in varied:
            allowed = "--seeds=N, which gives the runs the seeds 0 to N - 1" if key == "seed" else "its --grid alone"
            raise ConfigError(f"--config.{key}", argument.partition("=")[2], allowed)


def check_all_differ(runs: Sequence[Point], configs: Sequence[Mapping[str, Any]]) -> None:
    """Refuses two runs whose whole configs are one, however their values were written (0.1 and 1e-1).

    Raises:
        ConfigError: two configs are the same.
    """
    seen: dict[str, str] = {}
    for run, config in zip(runs, configs, strict=True):
        text = json.dumps(config, sort_keys=True)
        if text in seen:
            raise ConfigError("--grid", run.folder, f"each value once (it is the same run as {seen[text]})")
        seen[text] = run.folder


def part(runs: Sequence[Point], text: str) -> list[Point]:
    """The runs of one task of a job array, ``"I/N"``: every N-th from the I-th on; all for "".

    Raises:
        ConfigError: it does not read as that, or I is not below N.

    Example:
        >>> part(["a", "b", "c", "d", "e"], "1/3")
        ['b', 'e']
    """
    if not text:
        return list(runs)
    first, slash, count = text.partition("/")
    if not (slash and first.isdecimal() and count.isdecimal() and int(first) < int(count)):
        raise ConfigError("--part", text, "I/N with I from 0 to N - 1")
    return list(runs[int(first) :: int(count)])
