"""Word problems as a task of the driver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.lm.setup import Row, Setup
from maxrl_jax.lm.task import Prompts, Task
from maxrl_jax.lm.update.answers import answer_states, start
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.loop.phase import Every
from maxrl_jax.tasks.words import task as words_task
from maxrl_jax.tasks.words.problems import KINDS
from maxrl_jax.tasks.words.vocabulary import DIGIT_0


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
    """How well a policy calculates: ``sft/digits_right``, with every evaluation during SFT.

    It is the share of the digits in the right chains that the policy would write, given all tokens before. The base
    that RL starts from should know arithmetic and misread words (digits right 0.98 or more, pass@1 0.05 to 0.25,
    pass@64 0.8 or more): then reasoning pays, and sharpening can lose what is rarely right.
    """
    prompts = setup.held_out

    @jax.jit
    def share(params: Any, prompts: Prompts) -> jax.Array:
        model, wanted = setup.policy.model(params), jnp.asarray(prompts.solutions)
        begun = start(model, prompts.tokens, prompts.lengths)
        logits = answer_states(model, begun, wanted[:, None], prompts.lengths)[:, 0]
        is_digit = (wanted >= DIGIT_0) & (wanted < DIGIT_0 + 10)
        return jnp.sum(is_digit & (logits.argmax(-1) == wanted)) / jnp.sum(is_digit)

    def measure(state: dict[str, Any], step: int) -> dict[str, float]:
        return {"sft/digits_right": float(share(state["params"], prompts))}

    return [Every(setup.config.sft.eval_every_steps, measure, show=("digits_right",))]


ROW = Row(make, "configs/llm.py", ("words",), check, evaluation_key=evaluation_key, sft_measures=sft_measures)
