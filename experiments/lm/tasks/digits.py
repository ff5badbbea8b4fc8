"""How well a policy calculates: digits it would write in the right chains of held-out word problems.

The base that RL starts from should know arithmetic and misread words (digits right 0.98 or more, pass@1 0.05 to 0.25,
pass@64 0.8 or more): then reasoning pays, and sharpening can lose what is rarely right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from experiments.lm.setup import Setup
from maxrl_jax.lm.task import Prompts
from maxrl_jax.lm.update.answers import answer_states, start
from maxrl_jax.tasks.words.vocabulary import DIGIT_0


def make_measure(setup: Setup, prefix: str = "sft") -> Callable[[dict[str, Any], int], dict[str, float]]:
    """``measure(state, step) -> {"PREFIX/digits_right": share}``, with the right tokens before each digit given."""
    prompts = setup.held_out

    @jax.jit
    def share(params: Any, prompts: Prompts) -> jax.Array:
        model, wanted = setup.policy.model(params), prompts.solutions
        begun = start(model, prompts.tokens, prompts.lengths)
        logits = answer_states(model, begun, wanted[:, None], prompts.lengths)[:, 0]
        is_digit = (wanted >= DIGIT_0) & (wanted < DIGIT_0 + 10)
        return jnp.sum(is_digit & (logits.argmax(-1) == wanted)) / jnp.sum(is_digit)

    def measure(state: dict[str, Any], step: int) -> dict[str, float]:
        return {f"{prefix}/digits_right": float(share(state["params"], prompts))}

    return measure
