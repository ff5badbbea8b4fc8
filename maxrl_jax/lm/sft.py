"""Supervised fine-tuning: a solution's tokens by cross-entropy, averaged over the answer tokens of the batch."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from maxrl_jax import losses
from maxrl_jax.lm import update
from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.step import Share, Whole
from maxrl_jax.lm.task import Prompts, Task


def gradients(
    policy: Policy,
    task: Task,
    params: Any,
    *,
    step: Int[Array, ""] | int,
    batch_size: int,
    micro_batch: int | None = None,
    share: Share | None = None,
    train_on_prompts: bool = False,
) -> tuple[Float[Array, ""], Any]:
    """Loss and gradients of one step of SFT.

    Args:
        policy: without its parameters.
        task: whose prompts have solutions.
        params: of the policy, in their master type.
        step: traced or not: which prompts.
        batch_size: prompts of the global batch.
        micro_batch: sequences run at a time on a device; None for all.
        share: this device's share of the batch, with more than one device.
        train_on_prompts: the average is over the prompts' tokens too, but for the first, which nothing predicts.
    """
    share = share or Whole()
    prompts = task.prompts("sft", step, share.ids(batch_size), batch_size)
    assert prompts.solutions is not None, f"the prompts of {task.name} have no solutions"
    mask = prompts.solutions != task.pad_token
    given = 0
    if train_on_prompts:
        given = prompts.tokens.shape[1] - 1
        prompts, mask = _prompts_as_answers(prompts, mask)
    total = share.sum(losses.denominator(mask, "token_mean"))
    return share.sum(loss_and_gradients(policy, params, prompts, mask, total, micro_batch, given))


def loss_and_gradients(
    policy: Policy,
    params: Any,
    prompts: Prompts,
    mask: Bool[Array, "P L"],
    total: Float[Array, ""],
    micro_batch: int | None = None,
    given: int = 0,
) -> tuple[Float[Array, ""], Any]:
    """Cross-entropy of the solutions over `total` answer tokens, micro-batch by micro-batch.

    It is the policy-gradient loss of one answer a prompt with advantage 1, so the update of RL computes it: sorted by
    length, each micro-batch cut to the shortest of a few lengths that holds its solutions. The first `given` tokens
    are in all of them.
    """
    assert prompts.solutions is not None
    count, length = prompts.solutions.shape
    answer = length - given
    plan = update.Plan.make(count, 1, answer, micro_batch_tokens=(micro_batch or count) * answer)
    plan = dataclasses.replace(plan, lengths=tuple(given + cut for cut in plan.lengths))
    result = update.loss_and_gradients(
        policy.master(params),
        update.Batch(
            prompts=prompts.tokens,
            tokens=prompts.solutions[:, None],
            mask=mask[:, None],
            advantages=jnp.ones((count, 1)),
            prompt_lengths=prompts.lengths,
        ),
        update.Objective(aggregation="token_mean"),
        plan,
        denominator=total,
        compute_dtype=policy.dtype,
        remat=policy.remat,
    )
    return result.loss, result.gradients


def _prompts_as_answers(prompts: Prompts, mask: Bool[Array, "P L"]) -> tuple[Prompts, Bool[Array, "P T"]]:
    """The prompts' first tokens, with all that follows as the solution, and the mask of that; T = S - 1 + L."""
    rest, solutions = prompts.tokens[:, 1:], prompts.solutions
    assert solutions is not None
    P, S = prompts.tokens.shape
    lengths = jnp.full(P, S) if prompts.lengths is None else prompts.lengths
    # A shorter prompt is padded on the right: its solution moves up to its end.
    place = jnp.arange(rest.shape[1] + solutions.shape[1])
    of_prompt = place < lengths[:, None] - 1  # [P, T]
    of_solution = (place - (lengths[:, None] - 1)) % len(place)
    end = len(place) - solutions.shape[1]

    def joined(first: Array, then: Array) -> Array:
        moved = jnp.take_along_axis(jnp.pad(then, ((0, 0), (0, end))), of_solution, axis=1)
        return jnp.where(of_prompt, jnp.pad(first, ((0, 0), (0, solutions.shape[1]))), moved)

    tokens = joined(rest, solutions)
    return Prompts(prompts.tokens[:, :1], solutions=tokens), joined(jnp.ones_like(rest, bool), mask)
