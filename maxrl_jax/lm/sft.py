"""Supervised fine-tuning: a solution's tokens by cross-entropy, averaged over the answer tokens of the batch."""

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
    """
    share = share or Whole()
    prompts = task.prompts("sft", step, share.ids(batch_size), batch_size)
    assert prompts.solutions is not None, f"the prompts of {task.name} have no solutions"
    mask = prompts.solutions != task.pad_token
    total = share.sum(losses.denominator(mask, "token_mean"))
    return share.sum(loss_and_gradients(policy, params, prompts, mask, total, micro_batch))


def loss_and_gradients(
    policy: Policy,
    params: Any,
    prompts: Prompts,
    mask: Bool[Array, "P L"],
    total: Float[Array, ""],
    micro_batch: int | None = None,
) -> tuple[Float[Array, ""], Any]:
    """Cross-entropy of the solutions over `total` answer tokens, micro-batch by micro-batch.

    It is the policy-gradient loss of one answer a prompt with advantage 1, so the update of RL computes it: sorted by
    length, each micro-batch cut to the shortest of a few lengths that holds its solutions.
    """
    assert prompts.solutions is not None
    count, length = prompts.solutions.shape
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
        update.Plan.make(count, 1, length, micro_batch_tokens=(micro_batch or count) * length),
        denominator=total,
        compute_dtype=policy.dtype,
        remat=policy.remat,
    )
    return result.loss, result.gradients
