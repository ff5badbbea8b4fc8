"""Log-probabilities of given answers to prompts that are run once each.

Letters: P prompts, N rollouts of each, S prompt tokens, T answer tokens, D hidden, V vocabulary; p prompts and
n rollouts of one micro-batch.
"""

import jax
import jax.numpy as jnp

from maxrl_jax.lm import sampling, vocabulary
from maxrl_jax.lm.decoder import Decoder, Layer, Prefix, Rule, attention
from maxrl_jax.lm.update.batch import Objective, Plan, pad

Start = tuple[jax.Array, Prefix]


def start(model: Decoder, prompts_PxS: jax.Array, lengths_P: jax.Array | None = None, *, remat: bool = False) -> Start:
    """What the answers need of their prompts: keys and values, and the first token's logits [P, V].

    With a large vocabulary, the stream [P, D] that those logits are of. `remat` as in `Decoder.run`.
    """
    x_PxD, prefix = model.prefill(prompts_PxS, lengths_P, remat=remat)
    return (x_PxD if vocabulary.is_large(model.config.vocab_size) else model.logits(x_PxD)), prefix


def answer_states(
    model: Decoder,
    begun: Start,
    tokens_PxNxT: jax.Array,
    lengths_P: jax.Array | None = None,
    *,
    remat: bool = False,
) -> jax.Array:
    """What each answer token was drawn from, given what `start` returned: logits [P, N, T, V], or streams [..., D]."""
    first_PxE, prefix = begun
    P, N, T = tokens_PxNxT.shape
    first_PxNx1xE = jnp.broadcast_to(first_PxE[:, None, None], (P, N, 1, first_PxE.shape[-1]))
    if T == 1:
        return first_PxNx1xE

    def attend(rule: Rule, q: jax.Array, k: jax.Array, v: jax.Array, layer: Layer, _: None) -> tuple[jax.Array, None]:
        prefix_k, prefix_v = layer.given
        return attention.shared_prefix(q, k, v, prefix_k, prefix_v, rule, lengths_P), None

    rope = model.answer_rotation(prefix[0][0].shape[-2], T - 1, lengths_P)
    x_PxNxTxD, _ = model.run(tokens_PxNxT[:, :, :-1], rope, attend, prefix, remat=remat)
    rest = x_PxNxTxD if vocabulary.is_large(model.config.vocab_size) else model.logits(x_PxNxTxD)
    return jnp.concatenate([first_PxNx1xE, rest], axis=2)


def score(
    model: Decoder,
    prompts_PxS: jax.Array,
    tokens_PxNxT: jax.Array,
    objective: Objective,
    plan: Plan,
    *,
    prompt_lengths_P: jax.Array | None = None,
) -> jax.Array:
    """Log-probabilities [P, N, T] of given answers, in micro-batches: those of a reference or an old policy.

    Args:
        model: in its compute dtype.
        prompts_PxS: int32 [P, S].
        tokens_PxNxT: int32 [P, N, T].
        objective: its temperature and top-p.
        plan: its prompts, and its rollouts of the longest length.
        prompt_lengths_P: int32 [P], as in `Batch`.
    """
    P, N, T = tokens_PxNxT.shape
    p, n = plan.prompts, plan.rollouts[-1]
    tokens = pad(pad(tokens_PxNxT, -P % p, axis=0), -N % n, axis=1)
    prompts = pad(prompts_PxS, -P % p, axis=0).reshape(-1, p, prompts_PxS.shape[1])
    parts = tokens.reshape(len(prompts), p, -1, n, T).swapaxes(1, 2)

    lengths = None if prompt_lengths_P is None else pad(prompt_lengths_P, -P % p, axis=0).reshape(-1, p)

    def of_group(group: tuple[jax.Array, jax.Array, jax.Array | None]) -> jax.Array:
        prompts, parts, lengths = group
        begun = start(model, prompts, lengths)
        return jax.lax.map(lambda part: token_log_probs(model, begun, part, objective, lengths)[0], parts)

    log_probs = jax.lax.map(of_group, (prompts, parts, lengths)).swapaxes(1, 2)
    return log_probs.reshape(*tokens.shape)[:P, :N]


def token_log_probs(
    model: Decoder,
    begun: Start,
    tokens_pxnxT: jax.Array,
    objective: Objective,
    lengths_p: jax.Array | None = None,
    *,
    remat: bool = False,
) -> tuple[jax.Array, jax.Array | None]:
    """Log-probabilities of the tokens [p, n, T] and, for an entropy bonus, the entropies they were drawn with."""
    states = answer_states(model, begun, tokens_pxnxT, lengths_p, remat=remat)
    if vocabulary.is_large(model.config.vocab_size):
        distribution = vocabulary.Distribution(objective.temperature, objective.top_p, model.config.final_soft_cap)
        hidden, matrix = model.norm(states), model.output_matrix()
        return vocabulary.log_probs_and_entropies(hidden, matrix, tokens_pxnxT, distribution)
    log_probs = sampling.log_probs(states, objective.temperature, objective.top_p, keep_x=tokens_pxnxT)
    entropies = sampling.entropy(log_probs) if objective.entropy_coef else None
    return sampling.pick(log_probs, tokens_pxnxT), entropies
