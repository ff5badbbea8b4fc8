"""Checks a config of the driver before anything is compiled."""

from __future__ import annotations

from typing import Any

from experiments.lm.setup import SHAPE, fresh_config, in_one_program, num_eval_key
from experiments.lm.tasks import table
from maxrl_jax import losses
from maxrl_jax.advantages import Estimator
from maxrl_jax.errors import ConfigError, as_config_error
from maxrl_jax.lm import decoder, sampling
from maxrl_jax.lm.step import PROVIDES
from maxrl_jax.lm.task import Task
from maxrl_jax.runs import launch
from maxrl_jax.runs.config import checks, estimator
from maxrl_jax.runs.config.imported import imported
from maxrl_jax.runs.loop import optimizer

POSITIVE = (
    *(f"model.{name}" for name in SHAPE),
    *("sft.steps_per_call", "rl.num_rollouts", "rl.steps_per_call", "eval.num_samples", "log.completions_answers"),
)
NON_NEGATIVE = (
    *("sft.steps", "sft.micro_batch", "sft.eval_every_steps", "rl.steps", "rl.decode_rows", "rl.micro_batch_tokens"),
    *("eval.every_steps", "eval.decode_rows", "log.completions_every", "log.completions_prompts"),
)


def check(config: Any) -> None:
    """Raises ConfigError for the first thing that is wrong."""
    estimator_phases(config, check_all_but_estimator(config))


def check_all_but_estimator(config: Any) -> Task:
    """The task, made once its fields are checked; an evaluation needs no more."""
    launch.check_common(config)
    checks.mesh(config)
    for key in (*POSITIVE, f"eval.{num_eval_key(config)}"):
        checks.positive_int(config, key)
    for key in NON_NEGATIVE:
        checks.non_negative_int(config, key)
    checks.one_of(config, "model.compute_dtype", ("auto", "float32", "bfloat16"))
    checks.one_of(config, "model.export_dtype", ("", "float32", "bfloat16"))
    as_config_error("model", config.model.num_heads, lambda: fresh_config(config, 1))
    _check_rl(config)
    temperature = checks.in_range(config, "eval.temperature", 0.0)
    as_config_error("eval.temperature", temperature, lambda: sampling.check(temperature, 1.0))
    checks.in_range(config, "eval.top_p", 0.0, 1.0, low_open=True)
    _check_folder(config)
    row = table.row(config)
    row.check(config)
    task = row.make(config)
    _check_model(config, task)
    _check_sft(config, task)
    return task


def estimator_phases(config: Any, task: Task) -> list[tuple[int, Estimator]]:
    """The estimator of RL, one for each phase of its schedule; ConfigError where it does not fit the task.

    Greedy answers are drawn and judged beside the update of a whole batch, and elsewhere none are at hand.
    """
    whole = in_one_program(config, task) and config.rl.minibatches == 1
    return estimator.phases(
        config,
        "rl.advantage",
        num_rollouts=config.rl.num_rollouts,
        reward_kind=task.rewards,
        provides=tuple(name for name in PROVIDES if whole or name != "greedy_rewards"),
    )


def _check_rl(config: Any) -> None:
    prompts = checks.batch(config, "rl.num_prompts")
    optimizer.check(config, "rl.optimizer", config.rl.steps, learning_rate="rl.learning_rate")
    checks.one_of(config, "rl.aggregation", losses.AGGREGATIONS)
    for key in ("rl.entropy_coef", "rl.kl_coef"):
        checks.in_range(config, key, 0.0)
    checks.in_range(config, "rl.temperature", sampling.SMALLEST)
    checks.in_range(config, "rl.top_p", 0.0, 1.0, low_open=True)
    parts = checks.divides(config, "rl.minibatches", prompts, "rl.num_prompts")
    devices = checks.mesh(config).size
    if prompts // parts % devices:
        allowed = f"parts that {devices} devices share evenly (of {prompts // parts} prompts)"
        raise ConfigError("rl.minibatches", parts, allowed)
    checks.in_range(config, "rl.clip_epsilon", 0.0, 1.0, high_open=True)
    whole_answers = checks.one_of(config, "rl.loss", losses.LOSSES) == "max_at_k"
    constant = config.rl.advantage.name == "maxpo" and isinstance(config.rl.advantage.k, int)
    if whole_answers and (not constant or config.rl.clip_epsilon or config.rl.kl_coef):
        allowed = "policy_gradient, or max_at_k with maxpo and one k, and without rl.clip_epsilon and rl.kl_coef"
        raise ConfigError("rl.loss", config.rl.loss, allowed)
    checks.positive(config, "rl.largest_weight")
    if config.rl.rollouts:
        imported(config, "rl.rollouts", "an empty string")
    segments = checks.tuple_of(config, "rl.decode_segments", int, low=1, min_length=0)
    if list(segments) != sorted(set(segments)):
        raise ConfigError("rl.decode_segments", segments, "numbers of tokens that grow")


def _check_folder(config: Any) -> None:
    folder = config.model.init_from
    if not folder:
        return
    as_config_error("model.init_from", folder, lambda: decoder.check_hf(folder))
    if config.checkpoint.init_from:
        raise ConfigError("model.init_from", folder, "an empty string when checkpoint.init_from is given")


def _check_model(config: Any, task: Task) -> None:
    """Positions and vocabulary of the model, fresh or from a folder."""
    folder, needed = config.model.init_from, task.prompt_length + task.answer_length
    if not folder:
        if needed > config.model.max_positions:
            allowed = f"at least {needed}: the task's prompt and answer"
            raise ConfigError("model.max_positions", config.model.max_positions, allowed)
        return
    given = decoder.read_config(folder)
    if given.vocab_size < task.vocabulary_size:
        allowed = f"a model of at least {task.vocabulary_size} tokens (it has {given.vocab_size})"
        raise ConfigError("model.init_from", folder, allowed)
    if needed > given.max_positions:
        allowed = f"a model of {needed} positions, of a prompt and its answer (it has {given.max_positions})"
        raise ConfigError("model.init_from", folder, allowed)


def _check_sft(config: Any, task: Task) -> None:
    checks.batch(config, "sft.batch_size")
    checks.one_of(config, "sft.train_on_prompts", (True, False))
    checks.tuple_of(config, "sft.export_steps", int, min_length=0)
    for step in config.sft.export_steps:
        if not 0 < step <= config.sft.steps:
            raise ConfigError(
                "sft.export_steps", config.sft.export_steps, f"steps from 1 to sft.steps = {config.sft.steps}"
            )
    optimizer.check(config, "sft.optimizer", config.sft.steps)
    if config.sft.steps and task.held_out.solutions is None and not task.has_solutions:
        raise ConfigError("sft.steps", config.sft.steps, f"0: the prompts of {task.name} have no solutions")
