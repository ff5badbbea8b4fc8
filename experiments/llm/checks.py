"""Everything that can be wrong in a config of this driver, found before anything is compiled."""

from __future__ import annotations

from typing import Any

from experiments.llm.problem import TASKS, make_task
from experiments.lm_driver import checks as shared
from maxrl_jax.advantages import Advantage
from maxrl_jax.lm import decoder
from maxrl_jax.lm.step import PROVIDES
from maxrl_jax.lm.task import Task
from maxrl_jax.runs import launch
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.config.errors import ConfigError, as_config_error
from maxrl_jax.runs.devices import sharding


def check(config: Any) -> None:
    """Raises ConfigError for the first thing that is wrong."""
    launch.check_common(config)
    sharding.mesh_from_config(config)
    shared.check_shape(config)
    _check_task_fields(config)
    shared.check_rl(config)
    _check_minibatches(config)
    _check_evaluation(config)
    _check_folder(config)
    task = make_task(config) if config.task in TASKS else shared.own_task(config, make_task)
    _check_segments(config, task)
    _check_model(config, task)
    shared.check_sft(config)
    estimator_phases(config, task)


def estimator_phases(config: Any, task: Task) -> list[tuple[int, Advantage]]:
    """The estimator of RL, one for each phase of its schedule; ConfigError where it does not fit the task.

    Greedy answers are judged in a program that draws and learns in one, so where there are two, none are at hand.
    """
    in_one_program = not task.judged_on_host and config.rl.minibatches == 1
    provides = PROVIDES if in_one_program else tuple(name for name in PROVIDES if name != "greedy_rewards")
    return shared.estimator_phases(config, task, provides)


def _check_task_fields(config: Any) -> None:
    for key in ("num_problems", "num_demonstrations"):
        checks.positive_int(config, f"words.{key}")
    checks.integer(config, "words.set_seed", 0, 2**32 - 1)
    for key in ("max_prompt_length", "max_answer_length"):
        checks.positive_int(config, f"data.{key}")
    checks.one_of(config, "data.cut_is_wrong", (True, False))
    checks.non_negative_int(config, "verifier.workers")
    checks.positive(config, "verifier.seconds")


def _check_minibatches(config: Any) -> None:
    parts = checks.divides(config, "rl.minibatches", config.rl.num_prompts, "rl.num_prompts")
    devices = sharding.mesh_from_config(config).size
    if config.rl.num_prompts // parts % devices:
        size = config.rl.num_prompts // parts
        raise ConfigError("rl.minibatches", parts, f"parts that {devices} devices share evenly (of {size} prompts)")
    checks.in_range(config, "rl.clip_epsilon", 0.0, 1.0, high_open=True)


def _check_segments(config: Any, task: Task) -> None:
    given = checks.tuple_of(config, "rl.decode_segments", int, low=1, min_length=0)
    if list(given) != sorted(set(given)):
        raise ConfigError("rl.decode_segments", given, "numbers of tokens that grow")
    if given and not task.judged_on_host:
        raise ConfigError("rl.decode_segments", given, f"(): the host does not judge {task.name}")


def _check_evaluation(config: Any) -> None:
    for key in ("eval.num_prompts", "eval.num_samples"):
        checks.positive_int(config, key)
    for key in ("eval.every_steps", "eval.decode_rows"):
        checks.non_negative_int(config, key)
    checks.in_range(config, "eval.temperature", 0.0)
    checks.in_range(config, "eval.top_p", 0.0, 1.0, low_open=True)


def _check_folder(config: Any) -> None:
    folder = config.model.init_from
    if not folder:
        return
    as_config_error("model.init_from", folder, lambda: decoder.check_hf(folder))
    if config.checkpoint.init_from:
        raise ConfigError("model.init_from", folder, "an empty string when checkpoint.init_from is given")


def _check_model(config: Any, task: Task) -> None:
    folder = config.model.init_from
    if not folder:
        shared.check_positions(config, task)
        return
    given = decoder.read_config(folder)
    if given.vocab_size < task.vocabulary_size:
        allowed = f"a model of at least {task.vocabulary_size} tokens (it has {given.vocab_size})"
        raise ConfigError("model.init_from", folder, allowed)
    # A batch of training may hold longer prompts than those held out.
    longest = config.data.max_prompt_length if config.task == "mathematics" else task.prompt_length
    needed = longest + task.answer_length
    if needed > given.max_positions:
        key = "data.max_answer_length" if config.task == "mathematics" else "model.init_from"
        got = config.data.max_answer_length if config.task == "mathematics" else folder
        allowed = f"{needed} positions, of a prompt and its answer, in a model of {given.max_positions}"
        raise ConfigError(key, got, allowed)
    if config.sft.steps and task.held_out.solutions is None:
        raise ConfigError("sft.steps", config.sft.steps, f"0: the prompts of {task.name} have no solutions")
