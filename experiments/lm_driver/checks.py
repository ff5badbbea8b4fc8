"""What can be wrong in the config of any driver of a language-model policy, found before anything is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from experiments.lm_driver.problem import fresh_model_config
from maxrl_jax import losses
from maxrl_jax.advantages import Advantage
from maxrl_jax.lm.step import PROVIDES
from maxrl_jax.lm.task import Task
from maxrl_jax.runs.config import checks, estimator
from maxrl_jax.runs.config.errors import ConfigError, as_config_error
from maxrl_jax.runs.devices import sharding
from maxrl_jax.runs.loop import optimizer


def estimator_phases(config: Any, task: Task, provides: tuple[str, ...] = PROVIDES) -> list[tuple[int, Advantage]]:
    """The estimator of RL, one for each phase of its schedule; ConfigError where it does not fit the task."""
    return estimator.phases(
        config,
        "rl.advantage",
        num_rollouts=config.rl.num_rollouts,
        reward_kind=task.rewards,
        provides=provides,
    )


def own_task(config: Any, make: Callable[[Any], Task]) -> Task:
    """A user's own task, held against its contract."""
    try:
        task = make(config)
        task.check(config.rl.num_prompts)
    except ConfigError:
        raise
    except Exception as error:  # whatever a user's own task raises
        text = " ".join(str(error).split())
        raise ConfigError("task", config.task, f"a factory of a task ({type(error).__name__}: {text})") from None
    check_positions(config, task)
    return task


def check_positions(config: Any, task: Task) -> None:
    """A fresh model's positions, and solutions for SFT."""
    needed = task.prompt_length + task.answer_length
    if needed > config.model.max_positions:
        raise ConfigError(
            "model.max_positions", config.model.max_positions, f"at least {needed}: the task's prompt and answer"
        )
    if config.sft.steps and task.held_out.solutions is None:
        raise ConfigError("sft.steps", config.sft.steps, f"0: the prompts of {task.name} have no solutions")


def check_shape(config: Any) -> None:
    """The fields of a fresh model."""
    for key in ("hidden_size", "intermediate_size", "num_layers", "num_heads", "num_kv_heads", "max_positions"):
        checks.positive_int(config, f"model.{key}")
    checks.one_of(config, "model.compute_dtype", ("auto", "float32", "bfloat16"))
    as_config_error("model", config.model.num_heads, lambda: fresh_model_config(config, 1))


def check_sft(config: Any) -> None:
    """The fields of SFT."""
    checks.non_negative_int(config, "sft.steps")
    sharding.check_batch(config, "sft.batch_size")
    checks.non_negative_int(config, "sft.micro_batch")
    checks.one_of(config, "sft.train_on_prompts", (True, False))
    checks.positive_int(config, "sft.steps_per_call")
    checks.non_negative_int(config, "sft.eval_every_steps")
    checks.tuple_of(config, "sft.export_steps", int, min_length=0)
    for step in config.sft.export_steps:
        if not 0 < step <= config.sft.steps:
            raise ConfigError(
                "sft.export_steps", config.sft.export_steps, f"steps from 1 to sft.steps = {config.sft.steps}"
            )
    optimizer.check(config, "sft.optimizer", config.sft.steps)


def check_rl(config: Any) -> None:
    """The fields of RL."""
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
