"""Log-probabilities of given answers to prompts that are run once each.

Letters: P prompts, N rollouts of each, S prompt tokens, T answer tokens, V vocabulary; p prompts and n rollouts
of one micro-batch.
"""

from typing import Any

import jax
import jax.numpy as jnp

from maxrl_jax.lm import sampling
from maxrl_jax.lm.decoder import Decoder, Prefix, Rule, attention
from maxrl_jax.lm.update.batch import Objective, Plan, pad


def start(model: Decoder, prompts_PxS: jax.Array) -> tuple[jax.Array, Prefix]:
    """What the answers need of their prompts: the first token's logits [P, V], and keys and values."""
    x_PxD, prefix = model.prefill(prompts_PxS)
    return model.logits(x_PxD), prefix


def answer_logits(model: Decoder, prefix: tuple[jax.Array, Prefix], tokens_PxNxT: jax.Array) -> jax.Array:
    """Logits [P, N, T, V] that each answer token was drawn from, given what `start` returned."""
    first_PxV, prefix_layers = prefix
    P, N, T = tokens_PxNxT.shape
    first_PxNx1xV = jnp.broadcast_to(first_PxV[:, None, None], (P, N, 1, first_PxV.shape[-1]))
    if T == 1:
        return first_PxNx1xV

    def attend(rule: Rule, q: jax.Array, k: jax.Array, v: jax.Array, layer: Any) -> tuple[jax.Array, None]:
        prefix_k, prefix_v = layer
        return attention.shared_prefix(q, k, v, prefix_k, prefix_v, rule), None

    S = prefix_layers[0][0].shape[2]
    rope = model.rotation(S, S + T - 1)
    x_PxNxTxD, _ = model.run(tokens_PxNxT[:, :, :-1], rope, attend, prefix_layers)
    return jnp.concatenate([first_PxNx1xV, model.logits(x_PxNxTxD)], axis=2)


def score(
    model: Decoder, prompts_PxS: jax.Array, tokens_PxNxT: jax.Array, objective: Objective, plan: Plan
) -> jax.Array:
    """Log-probabilities [P, N, T] of given answers, in micro-batches: those of a reference or an old policy.

    Args:
        model: in its compute dtype.
        prompts_PxS: int32 [P, S].
        tokens_PxNxT: int32 [P, N, T].
        objective: its temperature and top-p.
        plan: its prompts, and its rollouts of the longest length.
    """
    P, N, T = tokens_PxNxT.shape
    p, n = plan.prompts, plan.rollouts[-1]
    tokens = pad(pad(tokens_PxNxT, -P % p, axis=0), -N % n, axis=1)
    prompts = pad(prompts_PxS, -P % p, axis=0).reshape(-1, p, prompts_PxS.shape[1])
    parts = tokens.reshape(len(prompts), p, -1, n, T).swapaxes(1, 2)

    def of_group(group: tuple[jax.Array, jax.Array]) -> jax.Array:
        prefix = start(model, group[0])
        return jax.lax.map(lambda part: token_log_probs(model, prefix, part, objective)[0], group[1])

    log_probs = jax.lax.map(of_group, (prompts, parts)).swapaxes(1, 2)
    return log_probs.reshape(*tokens.shape)[:P, :N]


def token_log_probs(
    model: Decoder, prefix: tuple[jax.Array, Prefix], tokens_pxnxT: jax.Array, objective: Objective
) -> tuple[jax.Array, jax.Array]:
    """Log-probabilities of the tokens [p, n, T], and those of the whole vocabulary."""
    logits = answer_logits(model, prefix, tokens_pxnxT)
    log_probs = sampling.log_probs(logits, objective.temperature, objective.top_p, keep_x=tokens_pxnxT)
    return sampling.pick(log_probs, tokens_pxnxT), log_probs
