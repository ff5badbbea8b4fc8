"""The decode loop: one token a step for every rollout, keys and values of the prompt shared.

Letters: P prompts, N rollouts of each, S prompt tokens, T answer tokens, C = T - 1 slots of an answer's cache (its
last token is never read), R entries of a stack of blocks, K key-value heads, h head width, V vocabulary.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int, Int32, Shaped

from maxrl_jax.lm import sampling
from maxrl_jax.lm.decoder import Decoder, Layer, Prefix, Rotation, Rule, attention

Caches = tuple[tuple[Float[Array, "R P N K h C"], Float[Array, "R P N K C h"]], ...]
"""Keys and values of answers, of each stack of blocks."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How answers are drawn; static under jit.

    Attributes:
        max_new_tokens: the longest answer (T >= 1).
        stop_tokens: an answer ends with the first of these; () turns stopping off.
        temperature: divides the logits; 0 is greedy decoding.
        top_p: share of the probability kept, in (0, 1].
        pad_token: written after the end of an answer.
        cache_segment: decode attends to the first 1, 2, 3, ... times this many answer positions as the
            answers grow; each of these lengths is compiled separately.
    """

    max_new_tokens: int
    stop_tokens: tuple[int, ...]
    temperature: float = 1.0
    top_p: float = 1.0
    pad_token: int = 0
    cache_segment: int = 96

    def __post_init__(self) -> None:
        sampling.check(self.temperature, self.top_p)
        for name in ("max_new_tokens", "cache_segment"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: a positive integer")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rollouts:
    """Answers to P prompts, N each; NumPy arrays from `Segments` and from a user's engine.

    Attributes:
        tokens: the pad token after the end of an answer.
        mask: true up to and including the stop token.
        log_probs: of each token under the sampling distribution (of the model itself in greedy decoding), 0
            outside the mask.
        entropies: in nats, of the distributions that an answer's tokens were drawn from, summed over it.
        lengths: tokens in the mask.
    """

    tokens: Int32[Array, "P N T"]
    mask: Bool[Array, "P N T"]
    log_probs: Float32[Array, "P N T"]
    entropies: Float32[Array, "P N"]
    lengths: Int32[Array, "P N"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """The loop's carry; answers time first, so that a step writes one contiguous slice."""

    step: Int32[Array, ""]  # the token to write next
    last: Int32[Array, "P N"]  # the token written last
    done: Bool[Array, "P N"]
    answers: dict[str, Shaped[Array, "T P N"]]  # tokens, mask, log_probs, entropies
    caches: Caches


def decode(
    model: Decoder,
    logits: Float[Array, "P V"],
    prefix: Prefix,
    uniforms: Float[Array, "P N T"],
    settings: Settings,
    prompt_lengths: Int[Array, " P"] | None = None,
) -> Rollouts:
    """Draws N answers to each of P prompts, until every one has a stop token or T tokens.

    Args:
        model: in its compute dtype, the same that made `prefix`.
        logits: of the first answer token.
        prefix: keys and values of the prompts (`Decoder.prefill`), read by all rollouts, never copied.
        uniforms: one number in [0, 1) for each token; they decide the answers.
        settings: `max_new_tokens` is T.
        prompt_lengths: of prompts padded on the right; None: all of S.
    """
    state = begin(logits, prefix, uniforms, settings)
    state = advance(model, state, prefix, uniforms, settings, prompt_lengths)
    answers = {name: jnp.moveaxis(value, 0, 2) for name, value in state.answers.items()}
    answers["entropies"] = jnp.sum(answers["entropies"], axis=-1)
    return Rollouts(**answers, lengths=jnp.sum(answers["mask"], axis=-1, dtype=jnp.int32))


def begin(
    logits: Float[Array, "P V"],
    prefix: Prefix,
    uniforms: Float[Array, "P N T"],
    settings: Settings,
    done: Bool[Array, "P N"] | None = None,
) -> State:
    """Answers of one token; none where `done`. Arguments as those of `decode`."""
    P, N, T = uniforms.shape
    state = initial(prefix, (T, P, N), settings)
    if done is not None:
        state = dataclasses.replace(state, done=done)
    of_rollouts = jnp.broadcast_to(logits[:, None], (P, N, logits.shape[-1]))
    return _write(state, of_rollouts, jnp.moveaxis(uniforms, 2, 0), settings)


def advance(
    model: Decoder,
    state: State,
    prefix: Prefix,
    uniforms: Float[Array, "P N T"],
    settings: Settings,
    prompt_lengths: Int[Array, " P"] | None = None,
    written: int = 1,
) -> State:
    """Goes on from answers of `written` tokens to T, or until all are done. Arguments as those of `decode`."""
    T = uniforms.shape[2]
    S = prefix[0][0].shape[-2]
    by_step = jnp.moveaxis(uniforms, 2, 0)  # [T, P, N]
    # Time first: [T, 1, h/2], or [T, P, 1, 1, h/2] where every prompt has positions of its own.
    cos, sin = (jnp.moveaxis(table, -3, 0) for table in model.answer_rotation(S, T, prompt_lengths))

    def step(state: State, cache_length: int) -> State:
        slot = state.step - 1  # position of the last token within the answer
        rope = tuple(jax.lax.dynamic_index_in_dim(table, slot, keepdims=False) for table in (cos, sin))
        logits, caches = _forward(model, state, slot, rope, prefix, prompt_lengths, cache_length)
        return _write(dataclasses.replace(state, caches=caches), logits, by_step, settings)

    # One loop for each length of the cache that is read; a loop whose rows are all done ends at once.
    for start in range(written, T, settings.cache_segment):
        stop = min(start + settings.cache_segment, T)
        state = jax.lax.while_loop(
            lambda state, stop=stop: (state.step < stop) & ~jnp.all(state.done),
            lambda state, stop=stop: step(state, stop - 1),
            state,
        )
    return state


def initial(prefix: Prefix, shape: tuple[int, int, int], settings: Settings) -> State:
    """Nothing written yet, and room for T tokens; `shape` is (T, P, N)."""
    T, P, N = shape
    R, _, K, _, h = prefix[0][0].shape
    return State(
        step=jnp.int32(0),
        last=jnp.zeros((P, N), jnp.int32),
        done=jnp.zeros((P, N), bool),
        answers={
            "tokens": jnp.full(shape, settings.pad_token, jnp.int32),
            "mask": jnp.zeros(shape, bool),
            "log_probs": jnp.zeros(shape, jnp.float32),
            "entropies": jnp.zeros(shape, jnp.float32),
        },
        caches=tuple(
            (jnp.zeros((R, P, N, K, h, T - 1), k.dtype), jnp.zeros((R, P, N, K, T - 1, h), v.dtype)) for k, v in prefix
        ),
    )


def _forward(
    model: Decoder,
    state: State,
    slot: Int32[Array, ""],
    rope: Rotation,
    prefix: Prefix,
    prompt_lengths: Int[Array, " P"] | None,
    cache_length: int,
) -> tuple[Float[Array, "P N V"], Caches]:
    """The model on the last token of every rollout: next-token logits and the grown caches."""
    looped = len(model.blocks) < model.config.num_layers

    def attend(
        rule: Rule,
        q: Float[Array, "P N H h"],
        k: Float[Array, "P N K h"],
        v: Float[Array, "P N K h"],
        layer: Layer,
    ) -> tuple[Float[Array, "P N H h"], Any]:
        (prefix_k, prefix_v), (keys, values) = layer.given
        if looped:
            # A loop that wrote the caches of all blocks would copy them all in every turn. This writes to the block's
            # part, which is a copy anyway, and passes on what is new.
            result = k, v
            keys, values = _grown(keys[..., :cache_length], values[..., :cache_length, :], k, v, slot)
        else:
            result = _grown(*state.caches[layer.place], k[None], v[None], slot)  # in place
            keys, values = (stack[0] for stack in result)
        keys, values = keys[..., :cache_length], values[..., :cache_length, :]
        return attention.decode(q, keys, values, slot, prefix_k, prefix_v, rule, prompt_lengths), result

    x, results = model.run(state.last, rope, attend, tuple(zip(prefix, state.caches, strict=True)))
    if looped:
        pairs = zip(state.caches, results, strict=True)
        caches = tuple(_grown(keys, values, k, v, slot) for (keys, values), (k, v) in pairs)
    else:
        caches = jax.tree.map(lambda stack: stack[0], results)
    return model.logits(x), caches


def _grown(
    keys: Float[Array, "*B P N K h C"],
    values: Float[Array, "*B P N K C h"],
    k: Float[Array, "*B P N K h"],
    v: Float[Array, "*B P N K h"],
    slot: Int32[Array, ""],
) -> tuple[Float[Array, "*B P N K h C"], Float[Array, "*B P N K C h"]]:
    """Caches with one slot written."""
    keys = jax.lax.dynamic_update_slice_in_dim(keys, k[..., None], slot, axis=-1)
    return keys, jax.lax.dynamic_update_slice_in_dim(values, v[..., None, :], slot, axis=-2)


def _write(state: State, logits: Float[Array, "P N V"], uniforms: Float[Array, "T P N"], settings: Settings) -> State:
    """Draws a token for every rollout that is not done, and writes it with its log-probability."""
    now = jax.lax.dynamic_index_in_dim(uniforms, state.step, keepdims=False)
    drawn, log_probs, entropies = sampling.sample(logits, now, settings.temperature, settings.top_p)
    alive = ~state.done
    values = {
        "tokens": jnp.where(alive, drawn, settings.pad_token),
        "mask": alive,
        "log_probs": jnp.where(alive, log_probs, 0),
        "entropies": jnp.where(alive, entropies, 0),
    }
    answers = {
        name: jax.lax.dynamic_update_index_in_dim(written, values[name].astype(written.dtype), state.step, 0)
        for name, written in state.answers.items()
    }
    stops = jnp.asarray(settings.stop_tokens, jnp.int32)
    return State(
        step=state.step + 1,
        last=values["tokens"],
        done=state.done | jnp.isin(drawn, stops),
        answers=answers,
        caches=state.caches,
    )
