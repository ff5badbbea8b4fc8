"""Rollouts of many prompts, in chunks of bounded memory.

Letters: P prompts, N rollouts of each, S prompt tokens, T answer tokens; p prompts and n rollouts of a chunk.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from maxrl_jax.lm.decoder import Decoder
from maxrl_jax.lm.rollout.engine import Rollouts, Settings, decode


def rollout(
    model: Decoder,
    prompts: Int[Array, "P S"],
    key: jax.Array,
    num_rollouts: int,
    settings: Settings,
    *,
    prompt_lengths: Int[Array, " P"] | None = None,
    prompt_ids: Int[Array, " P"] | None = None,
    max_rows: int | None = None,
) -> Rollouts:
    """N answers to each of P prompts, chunk by chunk.

    The key of a rollout is `key` folded with its prompt's id and its own number, so an answer depends on
    neither P, N, `max_rows` nor the number of devices, up to the rounding of its logits: of two equal runs
    cut differently, about one token in 10^6 falls on the other side of an edge.

    Args:
        model: in its compute dtype (`Decoder.computing`).
        prompts: each run once for all its rollouts; shorter ones are padded on the right.
        key: consumed.
        num_rollouts: N >= 1.
        settings: length, stop tokens, temperature, top-p.
        prompt_lengths: from 1 to S; None: all of S. An answer is that to its prompt alone.
        prompt_ids: by default 0..P-1; a device that holds a part of the batch gives global ones.
        max_rows: the most rollouts decoded at a time, which bounds the memory; None decodes all at once.

    Example:
        >>> from flax import nnx
        >>> from maxrl_jax.lm.decoder import Config
        >>> config = Config(hidden_size=8, intermediate_size=16, num_layers=1, num_heads=2)
        >>> graphdef, params = nnx.split(Decoder(config, rngs=nnx.Rngs(0)))
        >>> settings = Settings(max_new_tokens=5, stop_tokens=(7, 2))
        >>> sample = jax.jit(lambda params, prompts, key: rollout(
        ...     nnx.merge(graphdef, params), prompts, key, 4, settings))
        >>> sample(params, jnp.zeros((2, 3), jnp.int32), jax.random.key(0)).tokens.shape
        (2, 4, 5)
    """
    P = prompts.shape[0]
    p, n = chunk_shape(P, num_rollouts, max_rows)
    ids = jnp.arange(P) if prompt_ids is None else prompt_ids
    if (p, n) == (P, num_rollouts):
        x, prefix = model.prefill(prompts, prompt_lengths)
        uniforms = uniforms_of(key, ids, jnp.arange(num_rollouts)[None], settings.max_new_tokens)
        return decode(model, model.logits(x), prefix, uniforms, settings, prompt_lengths)

    # The last chunks repeat a prompt or overshoot N, and are cut.
    prompt_chunks, rollout_chunks = math.ceil(P / p), math.ceil(num_rollouts / n)
    pick = jnp.minimum(jnp.arange(prompt_chunks * p), P - 1).reshape(prompt_chunks, p)

    def of_prompts(picked: Int[Array, " p"]) -> Rollouts:
        lengths = None if prompt_lengths is None else prompt_lengths[picked]
        x, prefix = model.prefill(prompts[picked], lengths)
        logits = model.logits(x)

        def of_rollouts(first: Int[Array, ""]) -> Rollouts:
            numbers = first + jnp.arange(n)[None]
            uniforms = uniforms_of(key, ids[picked], numbers, settings.max_new_tokens)
            return decode(model, logits, prefix, uniforms, settings, lengths)

        parts = jax.lax.map(of_rollouts, n * jnp.arange(rollout_chunks))
        return jax.tree.map(lambda part: jnp.moveaxis(part, 0, 1).reshape(p, -1, *part.shape[3:]), parts)

    parts = jax.lax.map(of_prompts, pick)
    return jax.tree.map(lambda part: part.reshape(-1, *part.shape[2:])[:P, :num_rollouts], parts)


def chunk_shape(num_prompts: int, num_rollouts: int, max_rows: int | None) -> tuple[int, int]:
    """Equal chunks of at most `max_rows` rollouts: prompts of a chunk, and rollouts of each of them.

    Raises:
        ValueError: no rollouts, or no rows.
    """
    if num_rollouts < 1:
        raise ValueError(f"num_rollouts: got {num_rollouts}, allowed: a positive integer")
    if max_rows is None:
        return num_prompts, num_rollouts
    if max_rows < 1:
        raise ValueError(f"max_rows: got {max_rows}, allowed: a positive integer or None")
    n = math.ceil(num_rollouts / math.ceil(num_rollouts / max_rows))
    return math.ceil(num_prompts / math.ceil(num_prompts / max(1, max_rows // n))), n


def uniforms_of(
    key: jax.Array, prompt_ids: Int[Array, " P"], numbers: Int[Array, "#P N"], length: int
) -> Float[Array, "P N T"]:
    """Uniform numbers in [0, 1) from a key of each rollout's own: `key` folded with its prompt's id and its number.

    Args:
        key: of all the rollouts.
        prompt_ids: of the prompts.
        numbers: of the rollouts, [1, N] for the same of every prompt.
        length: T.
    """

    def of_rollout(prompt_id: Int[Array, ""], number: Int[Array, ""]) -> Float[Array, " T"]:
        return jax.random.uniform(jax.random.fold_in(jax.random.fold_in(key, prompt_id), number), (length,))

    numbers = jnp.broadcast_to(numbers, (len(prompt_ids), numbers.shape[1]))
    return jax.vmap(jax.vmap(of_rollout, in_axes=(None, 0)))(prompt_ids, numbers)
