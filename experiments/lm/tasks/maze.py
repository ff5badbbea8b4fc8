"""Mazes as a task of the driver."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.lm.setup import Row, Setup, fresh_config
from experiments.lm.tasks import provenance
from maxrl_jax.errors import ConfigError, as_config_error
from maxrl_jax.lm import decoder
from maxrl_jax.lm.task import Task
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.folder import headline
from maxrl_jax.runs.folder.run import Run
from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import split, tokens
from maxrl_jax.tasks.maze import task as maze_task
from maxrl_jax.tasks.maze.reward import KINDS
from maxrl_jax.tasks.maze.task import IMITATED


def make(config: Any) -> Task:
    """The task of the fields ``maze``."""
    return maze_task.make(
        seed=config.seed,
        size=config.maze.size,
        num_held_out=config.maze.num_held_out,
        held_out_seed=config.eval.seed,
        training_set=config.maze.training_set,
        length=answer_length(config),
        reward=config.maze.reward,
        imitated=config.maze.imitated,
    )


def answer_length(config: Any) -> int:
    """New tokens of an answer to a maze."""
    return config.maze.answer_length or maze.answer_length(config.maze.size, config.model.max_positions)


def check(config: Any) -> None:
    """Checks the fields ``maze``, and the shape of a model that RL starts from."""
    checks.integer(config, "eval.seed", 0, 2**32 - 1)
    size = checks.integer(config, "maze.size", 5)
    as_config_error("maze.size", size, lambda: maze.check_size(size))
    checks.one_of(config, "maze.reward", tuple(KINDS))
    checks.positive_int(config, "maze.num_held_out")
    checks.integer(config, "maze.training_set", 0, 2**30)
    checks.one_of(config, "maze.imitated", IMITATED)
    checks.non_negative_int(config, "maze.answer_length")
    key = "maze.answer_length" if config.maze.answer_length else "model.max_positions"
    length = as_config_error(key, checks.field(config, key), lambda: answer_length(config))
    as_config_error("maze.answer_length", length, lambda: maze.check_answer_length(size, length))
    needed = maze.prompt_length(size) + length
    if needed > config.model.max_positions:
        raise ConfigError(
            "maze.answer_length",
            length,
            f"at most {config.model.max_positions - maze.prompt_length(size)} tokens: "
            f"the model has {config.model.max_positions} positions and the prompt takes {maze.prompt_length(size)}",
        )
    if config.model.init_from:
        _check_model(config, config.model.init_from)


def _check_model(config: Any, folder: str) -> None:
    shape = fresh_config(config, tokens.VOCABULARY_SIZE)
    given = as_config_error("model.init_from", folder, lambda: decoder.check_hf(folder))
    for field in ("vocab_size", "hidden_size", "intermediate_size", "num_layers", "num_heads", "num_kv_heads"):
        if getattr(given, field) != getattr(shape, field):
            raise ConfigError(
                "model.init_from",
                folder,
                f"a model with {field} = {getattr(shape, field)} (it has {getattr(given, field)})",
            )
    if given.max_positions < shape.max_positions:
        allowed = f"at most the {given.max_positions} positions of the model in {folder}"
        raise ConfigError("model.max_positions", shape.max_positions, allowed)


def evaluation_key(config: Any) -> dict[str, Any]:
    """The fields that the held-out mazes and their rewards depend on."""
    count, _ = split.cap_held_out(config.maze.num_held_out, config.maze.size)
    return {
        "size": config.maze.size,
        "held_out_seed": config.eval.seed,
        "mazes": min(config.eval.num_mazes, count),
        "reward": config.maze.reward,
    }


def for_model(config: Any, folder: Path, given: Sequence[str]) -> None:
    """Size and held-out mazes as the model's training had them, 256 of them where its folder does not tell."""
    tables = provenance.read(folder) or []
    if "maze.size" not in given:
        if not tables:
            raise ConfigError("--size", None, f"an odd number ({folder} does not say its own)", shown="none")
        config.maze.size = tables[-1][0]
    size = config.maze.size
    if "eval.num_mazes" not in given:
        config.eval.num_mazes = 256
    _, seed, count = next((table for table in reversed(tables) if table[0] == size), (size, 0, 256))
    if "eval.seed" not in given:
        config.eval.seed = seed
    if "maze.num_held_out" not in given:
        config.maze.num_held_out = count if tables else max(count, config.eval.num_mazes)
    if "maze.answer_length" not in given:
        config.maze.answer_length = 0
    if "maze.reward" not in given:
        config.maze.reward = "solved"  # as published
    if config.eval.num_mazes > config.maze.num_held_out:
        allowed = f"at most the {config.maze.num_held_out} that are held out"
        raise ConfigError("--mazes", config.eval.num_mazes, allowed)


def save(config: Any, folder: str | os.PathLike) -> None:
    """The tables of the mazes that the model was never trained on travel with it."""
    provenance.write(provenance.after(config), folder)


def finish(run: Run, setup: Setup, params: Any) -> None:
    """Draws a right and a failed answer."""
    from experiments.lm.tasks import maze_pictures

    maze_pictures.save_answers(run, setup, params)


ROW = Row(
    make,
    "configs/maze.py",
    ("maze",),
    check,
    notes=provenance.notes,
    evaluation_key=evaluation_key,
    for_model=for_model,
    save=save,
    finish=finish,
    show=headline.DEFAULT,
)
