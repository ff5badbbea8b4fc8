"""Resumable evaluations: samples are drawn in rounds, and each round's counts are saved.

The folder of an evaluation holds evaluation.jsonl, the counts of every round, and summary.json, the settings and
metrics of the last command, which is small enough to keep with a run; figures read it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from maxrl_jax import keys
from maxrl_jax.errors import ConfigError
from maxrl_jax.lm import evaluation
from maxrl_jax.runs.command_line import Parser, path
from maxrl_jax.runs.folder.stopping import Interrupted, StopRequest

FILE = "evaluation.jsonl"
SUMMARY = "summary.json"


def add_flags(flags: Parser) -> None:
    """The flags of rounds: --samples, --round, --seed, --out."""
    flags.add_argument("--samples", type=int, default=256, help="answers to each, a multiple of --round (256)")
    flags.add_argument("--round", type=int, help="answers to each prompt between two saves (32; of texts 4)")
    flags.add_argument("--seed", type=int, default=0, help="of the answers (0)")
    flags.add_argument("--out", type=path, help="where the counts are kept")


def check_flags(options: argparse.Namespace) -> None:
    """Raises ConfigError where --samples is not a multiple of --round, both at least 1."""
    for name in ("samples", "round"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name}", getattr(options, name), "at least 1")
    if options.samples % options.round:
        raise ConfigError("--samples", options.samples, f"a multiple of --round = {options.round}")


class Counts:
    """The rounds drawn so far, in a folder.

    Args:
        folder: made when absent.
        settings: all that the counts depend on, ``round`` (samples of each prompt in one) among it; a folder of others
            is refused. A setting that an older folder does not record is added to it.
        inputs: digests of the files and code that they depend on, kept beside the settings and compared like them.

    Raises:
        ConfigError: the folder cannot be written, or holds counts of other settings or inputs.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], inputs: dict[str, str]):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / FILE).touch()
        except OSError as error:
            raise ConfigError("--out", str(folder), f"a folder that can be written ({error.strerror})") from None
        self._file, self._summary, self._settings = folder / FILE, folder / SUMMARY, settings
        self.rounds: list[dict[str, np.ndarray]] = []
        # A line that a kill cut in two is not JSON: its round is drawn again.
        text = self._file.read_text()
        lines = text[: text.rfind("\n") + 1].splitlines()
        try:
            before, *rounds = map(json.loads, lines or ["{}"])
            found = before.get("inputs", {})
            self.rounds = [{name: np.asarray(value) for name, value in entry.items()} for entry in rounds]
        except (ValueError, AttributeError):
            raise ConfigError("--out", str(folder), f"a folder whose {FILE} is one of evaluations") from None
        for key in settings:
            if before.get(key, settings[key]) != settings[key]:
                allowed = f"{before[key]} as {self._file} was begun, or another --out"
                raise ConfigError(f"--{key}", settings[key], allowed)
        for name in sorted({*found, *inputs}) if found else ():
            was, now = found.get(name, "absent"), inputs.get(name, "absent")
            if was != now:
                allowed = f"the one ({was}) that {self._file} was begun with, or another --out"
                raise ConfigError(name, None, allowed, shown=f"another one ({now})")
        header = json.dumps({**before, **settings, "inputs": inputs})
        self._file.write_text("".join(line + "\n" for line in (header, *lines[1:])))

    def add(self, found: dict[str, np.ndarray]) -> None:
        """Keeps one round, durably."""
        with self._file.open("a") as file:
            file.write(json.dumps({name: value.tolist() for name, value in found.items()}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.rounds.append(found)

    def draw(self, sampler: Callable[[jax.Array], dict[str, np.ndarray]], options: argparse.Namespace) -> None:
        """Adds the rounds that --samples asks for and that are not there yet; ``sampler(key)`` draws one."""
        with StopRequest() as stop:
            for number in range(len(self.rounds), options.samples // options.round):
                stop.doing = f"samples {number * options.round + 1} to {(number + 1) * options.round}"
                self.add(sampler(keys.stream(options.seed, "evaluate", number)))
                print(f"{(number + 1) * options.round} of {options.samples} samples", file=sys.stderr, flush=True)
                if stop.signum is not None:
                    raise Interrupted(f"stopped; the counts are in {self._file}, the same command goes on", stop.signum)

    def total(self, rounds: int) -> dict[str, np.ndarray]:
        """The first rounds together: counts added up, rewards side by side."""
        parts = self.rounds[:rounds]
        return {
            name: np.concatenate([part[name] for part in parts], axis=1)
            if name in evaluation.PER_SAMPLE
            else _sum([part[name] for part in parts])
            for name in parts[0]
        }

    def summarised(self, samples: int, measures: Sequence[str], groups: Sequence[str] = ()) -> dict[str, Any]:
        """The metrics of the first samples, kept in summary.json beside the settings.

        Args:
            samples: of each prompt, a multiple of the settings' ``round``.
            measures: names of the task's measures.
            groups: of each prompt, the name of its group.
        """
        total = self.total(samples // self._settings["round"])
        found = evaluation.summary(total, samples, measures, groups=groups)
        text = json.dumps({**self._settings, "samples": samples, **found})
        self._summary.write_text(text + "\n")
        return found


def _sum(parts: list[np.ndarray]) -> np.ndarray:
    """The sum, the same whether the parts come from the file or from this process."""
    whole = np.stack(parts)
    return whole.astype(np.float64).sum(axis=0) if whole.dtype.kind == "f" else whole.sum(axis=0)


def show(found: dict[str, Any], prompts: str) -> None:
    """Prints the metrics of an evaluation of some ``prompts`` as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("metric", "value", title=f"{len(found['eval/solved'])} {prompts}")
    for name, value in found.items():
        if name != "eval/solved":
            table.add_row(name.removeprefix("eval/"), f"{round(value, 4) + 0.0:.4f}")  # no -0.0000
    Console(width=None if sys.stdout.isatty() else 80).print(table)
