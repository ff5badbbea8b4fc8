"""Held-out mazes travel with a model: held_out.json in its folder lists the tables it was never trained on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from maxrl_jax import keys
from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import split

FILE = "held_out.json"

Table = tuple[int, int, int]
"""Size, seed and number of mazes: what `maxrl_jax.tasks.maze.hold_out` makes a table from."""


def own(config: Any) -> Table:
    """The table of a run."""
    count, _ = split.cap_held_out(config.maze.num_held_out, config.maze.size)
    return config.maze.size, config.eval.seed, count


def given(config: Any) -> list[Table] | None:
    """The tables of the model or run that this run starts from; [] for a fresh model, None where nothing tells."""
    if config.model.init_from:
        return read(Path(config.model.init_from))
    if config.checkpoint.init_from:
        return _of_run(Path(config.checkpoint.init_from))
    return []


def after(config: Any) -> list[Table] | None:
    """The tables of the model that this run makes."""
    before = given(config)
    if before is None or not (config.sft.steps or config.rl.steps):
        return before
    return list(dict.fromkeys([*before, own(config)]))


def read(folder: Path) -> list[Table] | None:
    """The tables of a model folder; None where it has none, or none that can be read."""
    try:
        entries = json.loads((folder / FILE).read_text())["tables"]
        return [(int(entry["size"]), int(entry["seed"]), int(entry["mazes"])) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(tables: list[Table] | None, folder: str | os.PathLike) -> None:
    """Writes the tables into a model folder; nothing where they are not known."""
    if tables is not None:
        entries = [dict(zip(("size", "seed", "mazes"), table, strict=True)) for table in tables]
        Path(folder, FILE).write_text(json.dumps({"tables": entries}) + "\n")


def notes(config: Any) -> list[str]:
    """One line when this run evaluates on mazes that its first model may have been trained on."""
    source = config.model.init_from or config.checkpoint.init_from
    tables = given(config)
    if tables is None:
        return [f"{source} does not say which mazes it was not trained on: it may know those evaluated here"]
    size, seed, count = own(config)
    evaluated = min(config.eval.num_mazes, count)
    walls = maze.hold_out(keys.stream(seed, "held_out"), evaluated, size).mazes.walls
    # Mazes of another size were never the same mazes; of this size a maze must be in every table.
    safe = np.ones(evaluated, bool)
    for other, other_seed, other_count in tables:
        if other == size:
            table = maze.hold_out(keys.stream(other_seed, "held_out"), other_count, size)
            safe &= np.asarray(maze.is_held_out(jnp.asarray(walls), table))
    if safe.all():
        return []
    return [
        f"{source} may have been trained on {np.sum(~safe)} of the {evaluated} mazes evaluated here: "
        f"eval.seed = {seed} holds out others than those of its training"
    ]


def _of_run(path: Path) -> list[Table] | None:
    """The tables of a run folder, or of a checkpoint in it."""
    for folder in (path, *path.parents[:2]):
        for model in sorted(folder.glob(f"model*/{FILE}")):
            return read(model.parent)
        try:
            settings = json.loads((folder / "config.json").read_text())
            return [(settings["maze"]["size"], settings["eval"]["seed"], settings["maze"]["num_held_out"])]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None
