"""Everything that can be wrong in a config of this driver, found before anything is compiled."""

from __future__ import annotations

from typing import Any

from experiments.maze.problem import answer_length, fresh_model_config, make_task
from maxrl_jax import losses
from maxrl_jax.advantages import Advantage
from maxrl_jax.lm import decoder
from maxrl_jax.lm.step import PROVIDES
from maxrl_jax.lm.task import Task
from maxrl_jax.runs import launch
from maxrl_jax.runs.config import checks, estimator
from maxrl_jax.runs.config.errors import ConfigError, as_config_error
from maxrl_jax.runs.devices import sharding
from maxrl_jax.runs.loop import optimizer
from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze.reward import KINDS


def check(config: Any) -> None:
    """Raises ConfigError for the first thing that is wrong."""
    launch.check_common(config)
    sharding.mesh_from_config(config)
    _check_shape(config)
    if config.task == "maze":
        _check_maze(config)
    task = _check_task(config)
    _check_model(config, task)
    _check_sft(config)
    _check_rl(config)
    estimator_phases(config, task)
    for key in ("eval.num_mazes", "eval.num_samples"):
        checks.positive_int(config, key)
    for key in ("eval.every_steps", "eval.decode_rows"):
        checks.non_negative_int(config, key)
    checks.integer(config, "eval.seed", 0, 2**32 - 1)


def estimator_phases(config: Any, task: Task) -> list[tuple[int, Advantage]]:
    """The estimator of RL, one for each phase of its schedule; ConfigError where it does not fit the task."""
    return estimator.phases(
        config,
        "rl.advantage",
        num_rollouts=config.rl.num_rollouts,
        reward_kind=task.rewards,
        provides=PROVIDES,
    )


def _check_task(config: Any) -> Task:
    """The task, held against its contract."""
    if config.task == "maze":
        return make_task(config)
    try:
        task = make_task(config)
        task.check(config.rl.num_prompts)
    except ConfigError:
        raise
    except Exception as error:  # whatever a user's own task raises
        text = " ".join(str(error).split())
        raise ConfigError("task", config.task, f"a factory of a task ({type(error).__name__}: {text})") from None
    needed = task.prompt_length + task.answer_length
    if needed > config.model.max_positions:
        raise ConfigError(
            "model.max_positions", config.model.max_positions, f"at least {needed}: the task's prompt and answer"
        )
    if config.sft.steps and task.held_out.solutions is None:
        raise ConfigError("sft.steps", config.sft.steps, f"0: the prompts of {task.name} have no solutions")
    return task


def _check_shape(config: Any) -> None:
    for key in ("hidden_size", "intermediate_size", "num_layers", "num_heads", "num_kv_heads", "max_positions"):
        checks.positive_int(config, f"model.{key}")
    checks.one_of(config, "model.compute_dtype", ("auto", "float32", "bfloat16"))
    as_config_error("model", config.model.num_heads, lambda: fresh_model_config(config, 1))


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


def _check_sft(config: Any) -> None:
    checks.non_negative_int(config, "sft.steps")
    sharding.check_batch(config, "sft.batch_size")
    checks.non_negative_int(config, "sft.micro_batch")
    checks.positive_int(config, "sft.steps_per_call")
    checks.non_negative_int(config, "sft.eval_every_steps")
    checks.tuple_of(config, "sft.export_steps", int, min_length=0)
    for step in config.sft.export_steps:
        if not 0 < step <= config.sft.steps:
            raise ConfigError(
                "sft.export_steps", config.sft.export_steps, f"steps from 1 to sft.steps = {config.sft.steps}"
            )
    optimizer.check(config, "sft.optimizer", config.sft.steps)


def _check_rl(config: Any) -> None:
    checks.non_negative_int(config, "rl.steps")
    sharding.check_batch(config, "rl.num_prompts")
    checks.positive_int(config, "rl.num_rollouts")
    optimizer.check(config, "rl.optimizer", config.rl.steps, learning_rate="rl.learning_rate")
    checks.one_of(config, "rl.aggregation", losses.AGGREGATIONS)
    for key in ("rl.entropy_coef", "rl.kl_coef"):
        checks.in_range(config, key, 0.0)
    checks.positive(config, "rl.temperature")
    checks.in_range(config, "rl.top_p", 0.0, 1.0, low_open=True)
    checks.positive_int(config, "rl.steps_per_call")
    for key in ("rl.decode_rows", "rl.micro_batch_tokens"):
        checks.non_negative_int(config, key)
