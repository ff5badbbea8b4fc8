"""The table of tasks. A new one is a row here; a user's own, ``my.module:factory``, needs none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.lm.setup import Row, Setup
from experiments.lm.tasks import mathematics, maze, reasoning_gym, words
from maxrl_jax.errors import ConfigError
from maxrl_jax.lm.task import Task
from maxrl_jax.runs.config.imported import imported

TASKS = {
    "maze": maze.ROW,
    "words": words.ROW,
    "mathematics": mathematics.ROW,
    "reasoning_gym": reasoning_gym.ROW,
}


def row(config: Mapping[str, Any]) -> Row:
    """The row of a config's task, among those whose fields the config has; for a user's own, one that makes it."""
    there = {name: row for name, row in TASKS.items() if all(group in config for group in row.groups)}
    if config["task"] in there:
        return there[config["task"]]
    builtin = ", ".join(there)
    return Row(lambda config: _own(config, builtin), next(iter(there.values())).config_file, ())


def set_up(config: Any) -> Setup:
    """The parts of a run."""
    return Setup.of(config, row(config))


def run_name(config: Any) -> str:
    """The name of a run, that of its config file."""
    return Path(row(config).config_file).stem


def _own(config: Any, builtin: str) -> Task:
    """A user's own task, held against its contract."""
    make = imported(config, "task", builtin)
    try:
        task = make(config)
        task.check(config.rl.num_prompts)
    except ConfigError:
        raise
    except Exception as error:  # whatever a user's own task raises
        text = " ".join(str(error).split())
        raise ConfigError("task", config.task, f"a factory of a task ({type(error).__name__}: {text})") from error
    return task
