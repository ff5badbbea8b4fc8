"""Everything that can be wrong in a config of this driver, found before anything is compiled."""

from __future__ import annotations

from typing import Any

from experiments.lm_driver import checks as shared
from experiments.lm_driver.problem import fresh_model_config
from experiments.maze.problem import answer_length, make_task
from maxrl_jax.lm import decoder
from maxrl_jax.lm.task import Task
from maxrl_jax.runs import launch
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.config.errors import ConfigError, as_config_error
from maxrl_jax.runs.devices import sharding
from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze.reward import KINDS
from maxrl_jax.tasks.maze.task import IMITATED


def check(config: Any) -> None:
    """Raises ConfigError for the first thing that is wrong."""
    launch.check_common(config)
    sharding.mesh_from_config(config)
    shared.check_shape(config)
    if config.task == "maze":
        _check_maze(config)
    task = make_task(config) if config.task == "maze" else shared.own_task(config, make_task)
    _check_model(config, task)
    shared.check_sft(config)
    shared.check_rl(config)
    shared.estimator_phases(config, task)
    for key in ("eval.num_mazes", "eval.num_samples"):
        checks.positive_int(config, key)
    for key in ("eval.every_steps", "eval.decode_rows"):
        checks.non_negative_int(config, key)
    checks.integer(config, "eval.seed", 0, 2**32 - 1)


def _check_model(config: Any, task: Task) -> None:
    shape = fresh_model_config(config, task.vocabulary_size)
    folder = config.model.init_from
    if not folder:
        return
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
    if config.checkpoint.init_from:
        raise ConfigError("model.init_from", folder, "an empty string when checkpoint.init_from is given")


def _check_maze(config: Any) -> None:
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
