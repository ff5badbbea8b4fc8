"""Policy-gradient loss and gradients of rollouts that share prompts, with bounded memory.

Each prompt runs forward once and backward once, whatever N is: the answers attend to its keys and values,
micro-batch by micro-batch, the gradients with respect to those are summed, and one backward pass through the
prompt turns the sum into parameter gradients. The result is the gradient of the plain loss over N full
sequences, up to the order of summation. Rollouts that cannot act on it are left out: those of advantage 0
when neither an entropy bonus nor a KL term is on. The others are sorted by length inside their group and each
micro-batch is cut to the shortest of a few lengths that holds it.

Letters: P prompts, N rollouts of each, S prompt tokens, T answer tokens, V vocabulary; p prompts and n rollouts
of one micro-batch.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Int32, Shaped

from maxrl_jax import losses
from maxrl_jax.devices.data_parallel import Share
from maxrl_jax.lm.decoder import Decoder, wide
from maxrl_jax.lm.update.answers import Start, start, token_log_probs
from maxrl_jax.lm.update.batch import Batch, LossSettings, Plan, pad

Answers = dict[str, Shaped[Array, "..."]]  # the fields of a batch that have a rollout axis, [P, N] or [P, N, T]
Sums = tuple[Float[Array, ""], Any]  # loss and gradients
PrefixSums = tuple[Float[Array, ""], Any, Any]  # those, and the gradients of what `start` returned
ANSWER_FIELDS = ("tokens", "mask", "advantages", "old_log_probs", "reference_log_probs")


class Prompts(NamedTuple):
    """Prompts, and their lengths unless all have S tokens."""

    tokens: Int[Array, "P S"]
    lengths: Int[Array, " P"] | None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Update:
    """The result of `loss_and_gradients`.

    Attributes:
        loss: of the batch.
        gradients: like `nnx.state(model)`, in the model's own (master) type.
        trained_tokens: answer tokens that went through the update.
        prompts_skipped: prompts left out because all their advantages are 0.
    """

    loss: Float[Array, ""]
    gradients: Any
    trained_tokens: Int32[Array, ""]
    prompts_skipped: Int32[Array, ""]


def loss_and_gradients(
    model: Decoder,
    batch: Batch,
    settings: LossSettings,
    plan: Plan,
    *,
    denominator: Float[Array, ""] | None = None,
    share: Share | None = None,
    compute_dtype: jax.typing.DTypeLike = jnp.float32,
    remat: bool = False,
) -> Update:
    """The policy-gradient loss of a batch and its gradients with respect to the model's parameters.

    Under `jax.shard_map` (with check_vma=False, for devices take different numbers of turns in their loops) each device
    gives its part of the batch and the global `denominator`, and losses and gradients are summed over devices. Devices
    that share their parameters (`devices.fsdp`) gather them block by block in every pass, and so take as many turns as
    the one of them that has most to do; nothing else is sent.

    Args:
        model: with master weights, or this device's shards of them; gradients are summed in their type.
        batch: see `Batch`.
        settings: see `LossSettings`.
        plan: see `Plan`; it need not divide P or N.
        denominator: `losses.denominator` of the global batch when `batch` is a part of it.
        share: this device's part of the work, with more than one device.
        compute_dtype: type of the forward and backward passes.
        remat: backward passes keep what goes from block to block and run each block again: less memory, more time.
    """
    P, _, T = batch.tokens.shape
    plan.check(T)
    if denominator is None:
        denominator = losses.denominator(batch.mask, settings.aggregation)
    graphdef, params = nnx.split(model)
    lengths = _effective_lengths(batch, settings, plan)
    prompts, answers, lengths = _sorted_and_padded(batch, lengths, plan)
    longest = (share or Share()).most(lengths.reshape(-1, plan.prompts, lengths.shape[1]).max(axis=1))  # of each group

    def computing(params: Any) -> Decoder:
        return nnx.merge(graphdef, params).computing(compute_dtype, by_block=True, remat=remat)

    def group_step(group: Int[Array, ""], sums: Sums) -> Sums:
        loss, gradients = sums

        def of_group(a: Shaped[Array, "P ..."]) -> Shaped[Array, "p ..."]:
            return jax.lax.dynamic_slice_in_dim(a, group * plan.prompts, plan.prompts, axis=0)

        own = jax.tree.map(of_group, prompts)

        def part_loss(params: Any, begun: Start, answers: Answers) -> Float[Array, ""]:
            of_tokens, entropies = token_log_probs(computing(params), begun, answers["tokens"], settings, own.lengths)
            return losses.policy_gradient(
                of_tokens,
                answers["mask"],
                answers["advantages"],
                settings.aggregation,
                answers.get("old_log_probs"),
                settings.clip_epsilon,
                entropies=entropies if settings.entropy_coef else None,
                entropy_coef=settings.entropy_coef,
                reference_log_probs=answers.get("reference_log_probs"),
                kl_coef=settings.kl_coef,
                denominator=denominator,
            )

        def prompt_pass(params: Any) -> Start:
            return start(computing(params), own.tokens, own.lengths)

        prefix, pull = jax.vjp(prompt_pass, params)
        zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, wide(a.dtype)), prefix)
        loss, gradients, prefix_gradients = _over_micro_batches(
            lambda answers: jax.value_and_grad(part_loss, argnums=(0, 1))(params, prefix, answers),
            jax.tree.map(of_group, answers),
            longest[group],
            plan,
            (loss, gradients, zeros),
        )
        (prompt_gradients,) = pull(jax.tree.map(lambda a, b: a.astype(b.dtype), prefix_gradients, prefix))
        return loss, _add(gradients, prompt_gradients)

    groups = jnp.sum(longest[:, 0] > 0, dtype=jnp.int32)  # sorted: those with work come first
    zeros = jnp.zeros((), wide(compute_dtype)), jax.tree.map(jnp.zeros_like, params)
    loss, gradients = jax.lax.fori_loop(0, groups, group_step, zeros)
    return Update(
        loss=loss,
        gradients=gradients,
        trained_tokens=jnp.sum(lengths, dtype=jnp.int32),
        prompts_skipped=P - jnp.sum(lengths[:, 0] > 0, dtype=jnp.int32),
    )


def _over_micro_batches(
    value_and_gradients: Callable[[Answers], tuple[Float[Array, ""], Any]],
    answers: Answers,
    lengths: Int[Array, " N"],
    plan: Plan,
    sums: PrefixSums,
) -> PrefixSums:
    """Adds loss, gradients and prefix gradients of a group's answers, the longest ones first.

    `lengths`, which fall, are the longest over the group's prompts. A micro-batch takes the shortest length of the
    plan that holds the longest answer left, and as many rollouts as the plan has for that length.
    """

    def branch(length: int, rollouts: int) -> Callable:
        def add(start: Int32[Array, ""], sums: PrefixSums) -> tuple[Int32[Array, ""], PrefixSums]:
            micro = jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, start, rollouts, axis=1), answers)
            micro = jax.tree.map(lambda a: a[:, :, :length] if a.ndim == 3 else a, micro)
            value, (of_params, of_prefix) = value_and_gradients(micro)
            return start + rollouts, _add(sums, (value, of_params, of_prefix))

        return add

    branches = [branch(*shape) for shape in zip(plan.lengths, plan.rollouts, strict=True)]
    active = jnp.sum(lengths > 0)

    def micro_step(carry: tuple[Int32[Array, ""], PrefixSums]) -> tuple[Int32[Array, ""], PrefixSums]:
        index = jnp.searchsorted(jnp.asarray(plan.lengths), lengths[carry[0]])
        return jax.lax.switch(index, branches, *carry)

    return jax.lax.while_loop(lambda carry: carry[0] < active, micro_step, (jnp.int32(0), sums))[1]


def _effective_lengths(batch: Batch, settings: LossSettings, plan: Plan) -> Int[Array, "P N"]:
    """Answer tokens that can act on the gradient: up to the last one in the mask, or none."""
    T = batch.mask.shape[-1]
    lengths = jnp.max(batch.mask * jnp.arange(1, T + 1), axis=-1)
    if plan.skip_zeros and losses.may_skip_zero_advantages(settings.entropy_coef, settings.kl_coef):
        lengths = jnp.where(batch.advantages == 0, 0, lengths)
    return lengths


def _sorted_and_padded(
    batch: Batch, lengths: Int[Array, "P N"], plan: Plan
) -> tuple[Prompts, Answers, Int[Array, "..."]]:
    """Prompts, answers and lengths; answers by decreasing length in each prompt, prompts by their longest.

    Padded with prompts and answers of length 0, so that every group and every micro-batch is full.
    """
    by_length = jnp.argsort(-lengths, axis=1)  # of each prompt's answers
    order = jnp.argsort(-lengths.max(axis=1))  # of the prompts
    missing_prompts = -len(lengths) % plan.prompts

    def arrange(a: Shaped[Array, "P N ..."]) -> Shaped[Array, "..."]:
        index = by_length.reshape(*by_length.shape, *(1,) * (a.ndim - 2))
        a = jnp.take_along_axis(a, index, axis=1)[order]
        return pad(pad(a, missing_prompts, axis=0), max(plan.rollouts) - 1, axis=1)

    fields = {name: getattr(batch, name) for name in ANSWER_FIELDS}
    answers = {name: arrange(a) for name, a in fields.items() if a is not None}
    prompt_lengths = None
    if batch.prompt_lengths is not None:
        prompt_lengths = pad(batch.prompt_lengths[order], missing_prompts, axis=0)
    prompts = Prompts(pad(batch.prompts[order], missing_prompts, axis=0), prompt_lengths)
    return prompts, answers, arrange(lengths)


def _add(total: Any, part: Any) -> Any:
    """total + part, in the type of total."""
    return jax.tree.map(lambda a, b: a + b.astype(a.dtype), total, part)
