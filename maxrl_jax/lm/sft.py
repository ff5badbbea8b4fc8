"""Supervised fine-tuning: a solution's tokens by cross-entropy, averaged over the answer tokens of the batch."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from maxrl_jax import losses
from maxrl_jax.devices.data_parallel import Share
from maxrl_jax.lm import update
from maxrl_jax.lm.policy import Policy
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
    prompts: Prompts | None = None,
) -> tuple[Float[Array, ""], Any]:
    """Loss and gradients of one step of SFT: the solutions' cross-entropy, micro-batch by micro-batch.

    Args:
        policy: without its parameters.
        task: whose prompts have solutions.
        params: of the policy, in their master type.
        step: traced or not: which prompts.
        batch_size: prompts of the global batch.
        micro_batch: sequences run at a time on a device; None for all.
        share: this device's share of the batch, with more than one device.
        prompts: this device's share of the batch, where the host makes it; by default the task makes it here.
        train_on_prompts: the average is over the prompts' tokens too, but for the first, which nothing predicts.
    """
    share = share or Share()
    prompts = prompts or task.prompts("sft", step, share.ids(batch_size), batch_size)
    solutions = prompts.solutions
    assert solutions is not None, f"the prompts of {task.name} have no solutions"
    count, length = solutions.shape
    mask = _mask(task, solutions)
    plan = update.Plan.make(count, 1, length, micro_batch_tokens=(micro_batch or count) * length)
    if train_on_prompts:
        S = prompts.tokens.shape[1]
        prompts, solutions, mask = _prompts_as_answers(prompts, solutions, mask)
        plan = dataclasses.replace(plan, lengths=tuple(S - 1 + cut for cut in plan.lengths))
    total = share.sum(losses.denominator(mask, "token_mean"))
    # It is the policy-gradient loss of one answer a prompt with advantage 1, so the update of RL computes it: sorted by
    # length, each micro-batch cut to the shortest of a few lengths that holds its solutions.
    result = update.loss_and_gradients(
        policy.master(params),
        update.Batch(
            prompts=prompts.tokens,
            tokens=solutions[:, None],
            mask=mask[:, None],
            advantages=jnp.ones((count, 1)),
            prompt_lengths=prompts.lengths,
        ),
        update.LossSettings(aggregation="token_mean"),
        plan,
        denominator=total,
        share=share,
        compute_dtype=policy.dtype,
        remat=policy.remat,
    )
    return share.sum(result.loss), share.sum_gradients(result.gradients)


def _mask(task: Task, solutions: Int[Array, "P L"]) -> Bool[Array, "P L"]:
    """True on the tokens of the solutions.

    Where the padding is an end of text too, its first token ends the solutions that have no other end.
    """
    padding = solutions == task.pad_token
    if task.pad_token not in task.stop_tokens:
        return ~padding
    others = jnp.asarray([token for token in task.stop_tokens if token != task.pad_token], solutions.dtype)
    ended = jnp.cumsum(jnp.isin(solutions, others), axis=1) > 0
    return ~padding | (~ended & (jnp.cumsum(padding, axis=1) == 1))


def _prompts_as_answers(
    prompts: Prompts, solutions: Int[Array, "P L"], mask: Bool[Array, "P L"]
) -> tuple[Prompts, Int[Array, "P T"], Bool[Array, "P T"]]:
    """The prompts' first tokens, all that follows as the answers, and the mask of these; T = S - 1 + L."""
    P, S = prompts.tokens.shape
    answers = jnp.concatenate([prompts.tokens[:, 1:], solutions], axis=1)
    mask = jnp.concatenate([jnp.ones((P, S - 1), bool), mask], axis=1)
    if prompts.lengths is not None:  # a shorter prompt is padded on the right: its solution moves up to its end
        place = jnp.arange(answers.shape[1])
        ends = prompts.lengths[:, None] - 1
        source = jnp.where(place < ends, place, place + S - 1 - ends)
        answers = jnp.take_along_axis(answers, source, axis=1, mode="fill", fill_value=0)
        mask = jnp.take_along_axis(mask, source, axis=1, mode="fill", fill_value=False)
    return Prompts(prompts.tokens[:, :1]), answers, mask
