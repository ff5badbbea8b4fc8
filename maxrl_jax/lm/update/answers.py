"""Log-probabilities of given answers to prompts that are run once each.

Letters: P prompts, N rollouts of each, S prompt tokens, T answer tokens, D hidden, V vocabulary, E what a token is
drawn from: logits (V) or, with a large vocabulary, the stream that they are of (D); p prompts and n rollouts of one
micro-batch.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from maxrl_jax.lm import sampling, vocabulary
from maxrl_jax.lm.decoder import Decoder, Layer, Prefix, Rule, attention
from maxrl_jax.lm.update.batch import LossSettings, Plan, pad

Start = tuple[Float[Array, "P E"], Prefix]


def start(model: Decoder, prompts: Int[Array, "P S"], prompt_lengths: Int[Array, " P"] | None = None) -> Start:
    """Inputs of the answers from their prompts: the states that the first token is drawn from, and keys and values."""
    x, prefix = model.prefill(prompts, prompt_lengths)
    return (x if vocabulary.is_large(model.config.vocab_size) else model.logits(x)), prefix


def answer_states(
    model: Decoder,
    begun: Start,
    tokens: Int[Array, "P N T"],
    prompt_lengths: Int[Array, " P"] | None = None,
) -> Float[Array, "P N T E"]:
    """The states that each answer token was drawn from, given the result of `start`."""
    first, prefix = begun
    P, N, T = tokens.shape
    first = jnp.broadcast_to(first[:, None, None], (P, N, 1, first.shape[-1]))
    if T == 1:
        return first

    def attend(
        rule: Rule,
        q: Float[Array, "P N T H h"],
        k: Float[Array, "P N T K h"],
        v: Float[Array, "P N T K h"],
        layer: Layer,
    ) -> tuple[Float[Array, "P N T H h"], None]:
        prefix_k, prefix_v = layer.given
        return attention.shared_prefix(q, k, v, prefix_k, prefix_v, rule, prompt_lengths), None

    rope = model.answer_rotation(prefix[0][0].shape[-2], T - 1, prompt_lengths)
    x, _ = model.run(tokens[:, :, :-1], rope, attend, prefix)
    rest = x if vocabulary.is_large(model.config.vocab_size) else model.logits(x)
    return jnp.concatenate([first, rest], axis=2)


def score(
    model: Decoder,
    prompts: Int[Array, "P S"],
    tokens: Int[Array, "P N T"],
    settings: LossSettings,
    plan: Plan,
    *,
    prompt_lengths: Int[Array, " P"] | None = None,
) -> Float[Array, "P N T"]:
    """Log-probabilities of given answers, in micro-batches: those of a reference or an old policy.

    Args:
        model: in its compute dtype (`Decoder.computing`).
        prompts: as in `Batch`.
        tokens: of the answers.
        settings: its temperature and top-p.
        plan: its prompts, and its rollouts of the longest length.
        prompt_lengths: as in `Batch`.
    """
    P, N, T = tokens.shape
    p, n = plan.prompts, plan.rollouts[-1]
    tokens = pad(pad(tokens, -P % p, axis=0), -N % n, axis=1)
    prompts = pad(prompts, -P % p, axis=0).reshape(-1, p, prompts.shape[1])
    parts = tokens.reshape(len(prompts), p, -1, n, T).swapaxes(1, 2)
    lengths = None if prompt_lengths is None else pad(prompt_lengths, -P % p, axis=0).reshape(-1, p)

    def of_group(
        group: tuple[Int[Array, "p S"], Int[Array, "parts p n T"], Int[Array, " p"] | None],
    ) -> Float[Array, "parts p n T"]:
        prompts, parts, lengths = group
        begun = start(model, prompts, lengths)
        return jax.lax.map(lambda part: token_log_probs(model, begun, part, settings, lengths)[0], parts)

    log_probs = jax.lax.map(of_group, (prompts, parts, lengths)).swapaxes(1, 2)
    return log_probs.reshape(*tokens.shape)[:P, :N]


def token_log_probs(
    model: Decoder,
    begun: Start,
    tokens: Int[Array, "p n T"],
    settings: LossSettings,
    prompt_lengths: Int[Array, " p"] | None = None,
) -> tuple[Float[Array, "p n T"], Float[Array, "p n T"] | None]:
    """Log-probabilities of the tokens and, for an entropy bonus, the entropies they were drawn with."""
    states = answer_states(model, begun, tokens, prompt_lengths)
    if vocabulary.is_large(model.config.vocab_size):
        distribution = vocabulary.Distribution(settings.temperature, settings.top_p, model.config.final_soft_cap)
        hidden, matrix = model.norm(states), model.output_matrix()
        return vocabulary.log_probs_and_entropies(hidden, matrix, tokens, distribution)
    log_probs = sampling.log_probs(states, settings.temperature, settings.top_p, keep=tokens)
    entropies = sampling.entropy(log_probs) if settings.entropy_coef else None
    return sampling.pick(log_probs, tokens), entropies
