"""Everything that can be wrong in a maze config, found before anything is compiled."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from experiments.maze.problem import answer_length, model_config
from experiments.maze.rl import PROVIDES
from maxrl_jax import losses
from maxrl_jax.lm import decoder as qwen2
from maxrl_jax.runs import launch
from maxrl_jax.runs.config import checks, estimator
from maxrl_jax.runs.config.errors import ConfigError
from maxrl_jax.runs.devices import sharding
from maxrl_jax.runs.loop import optimizer
from maxrl_jax.tasks import maze


def check(config: Any) -> None:
    """Raises ConfigError for the first thing that is wrong."""
    launch.check_common(config)
    sharding.mesh_from_config(config)
    _check_model(config)
    _check_maze(config)
    _check_sft(config)
    _check_rl(config)
    for key in ("eval.num_mazes", "eval.num_samples"):
        checks.positive_int(config, key)
    for key in ("eval.every_steps", "eval.decode_rows"):
        checks.non_negative_int(config, key)
    checks.integer(config, "eval.seed", 0, 2**32 - 1)


def _check_model(config: Any) -> None:
    for key in ("hidden_size", "intermediate_size", "num_layers", "num_heads", "num_kv_heads", "max_positions"):
        checks.positive_int(config, f"model.{key}")
    checks.one_of(config, "model.compute_dtype", ("auto", "float32", "bfloat16"))
    shape = _as_config_error("model", config.model.num_heads, lambda: model_config(config))
    folder = config.model.init_from
    if not folder:
        return
    if not pathlib.Path(folder, "config.json").is_file():
        raise ConfigError("model.init_from", folder, "a folder with config.json and safetensors of a Qwen2ForCausalLM")
    fields = json.loads(pathlib.Path(folder, "config.json").read_text())
    given = _as_config_error("model.init_from", folder, lambda: qwen2.Config.from_hugging_face(fields))
    for field in ("vocab_size", "hidden_size", "intermediate_size", "num_layers", "num_heads", "num_kv_heads"):
        if getattr(given, field) != getattr(shape, field):
            raise ConfigError(
                "model.init_from",
                folder,
                f"a model with {field} = {getattr(shape, field)} (it has {getattr(given, field)})",
            )
    if config.checkpoint.init_from:
        raise ConfigError("model.init_from", folder, "an empty string when checkpoint.init_from is given")


def _check_maze(config: Any) -> None:
    size = checks.integer(config, "maze.size", 5)
    _as_config_error("maze.size", size, lambda: maze.check_size(size))
    checks.positive_int(config, "maze.num_held_out")
    checks.integer(config, "maze.training_set", 0, 2**30)
    checks.non_negative_int(config, "maze.answer_length")
    key = "maze.answer_length" if config.maze.answer_length else "model.max_positions"
    length = _as_config_error(key, checks.field(config, key), lambda: answer_length(config))
    _as_config_error("maze.answer_length", length, lambda: maze.check_answer_length(size, length))
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
    estimator.phases(config, "rl.advantage", num_rollouts=config.rl.num_rollouts, provides=PROVIDES)


def _as_config_error(key: str, got: Any, call: Any) -> Any:
    """The call's result; its ValueError as a ConfigError about `key`."""
    try:
        return call()
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(key, got, str(error)) from None
