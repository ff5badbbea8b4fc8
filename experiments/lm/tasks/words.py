"""Word problems as a task of the driver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from experiments.lm.setup import Row, Setup
from experiments.lm.tasks import digits
from maxrl_jax.lm.task import Task
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.loop.phase import Every
from maxrl_jax.tasks.words import task as words_task
from maxrl_jax.tasks.words.problems import KINDS


def make(config: Any) -> Task:
    """The task of the fields ``words``."""
    words = config.words
    return words_task.make(
        seed=config.seed,
        num_problems=words.num_problems,
        num_demonstrations=words.num_demonstrations,
        num_held_out=config.eval.num_prompts,
        set_seed=words.set_seed,
        training=words.training,
        held_out=words.held_out,
    )


def check(config: Any) -> None:
    """Checks the fields ``words``."""
    for key in ("num_problems", "num_demonstrations"):
        checks.positive_int(config, f"words.{key}")
    checks.integer(config, "words.set_seed", 0, 2**32 - 1)
    for key in ("training", "held_out"):
        checks.one_of(config, f"words.{key}", KINDS)


def evaluation_key(config: Any) -> dict[str, Any]:
    """The fields that the held-out problems depend on."""
    return {"task": config.task, "set_seed": config.words.set_seed, "held_out": config.words.held_out}


def sft_measures(setup: Setup) -> Sequence[Every]:
    """Digits that the policy would write rightly, with every evaluation during SFT."""
    return [Every(setup.config.sft.eval_every_steps, digits.make_measure(setup), show=("digits_right",))]


ROW = Row(make, "configs/llm.py", ("words",), check, evaluation_key=evaluation_key, sft_measures=sft_measures)
