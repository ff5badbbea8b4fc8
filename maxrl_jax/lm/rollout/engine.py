"""The decode loop: one token a step for every rollout, keys and values of the prompt shared.

Letters: P prompts, N rollouts of each, S prompt tokens, T answer tokens, K key-value heads, h head width,
V vocabulary.
"""

import dataclasses

import jax
import jax.numpy as jnp

from maxrl_jax.lm import sampling
from maxrl_jax.lm.decoder import Decoder, Layer, Prefix, Rotation, Rule, attention

Caches = tuple[tuple[jax.Array, jax.Array], ...]


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
    """Answers to P prompts, N each.

    Attributes:
        tokens: int32 [P, N, T]; the pad token after the end of an answer.
        mask: bool [P, N, T]; true up to and including the stop token.
        log_probs: float32 [P, N, T]; of each token under the sampling distribution (of the model itself in
            greedy decoding), 0 outside the mask.
        entropies: float32 [P, N, T]; of the distribution that each token was drawn from, in nats, 0
            outside the mask.
        lengths: int32 [P, N]; tokens in the mask.
    """

    tokens: jax.Array
    mask: jax.Array
    log_probs: jax.Array
    entropies: jax.Array
    lengths: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """What the loop carries; answers time first, so that a step writes one contiguous slice."""

    step: jax.Array  # the token to write next
    last: jax.Array  # [P, N] the token written last
    done: jax.Array  # [P, N]
    answers: dict[str, jax.Array]  # tokens, mask, log_probs, entropies, each [T, P, N]
    caches: Caches  # of each stack of blocks: keys [R, P, N, K, h, T-1], values [R, P, N, K, T-1, h]


def decode(
    model: Decoder,
    logits_PxV: jax.Array,
    prefix: Prefix,
    uniforms_PxNxT: jax.Array,
    settings: Settings,
    lengths_P: jax.Array | None = None,
) -> Rollouts:
    """Draws N answers to each of P prompts, until every one has a stop token or T tokens.

    Args:
        model: in its compute dtype, the same that made `prefix`.
        logits_PxV: of the first answer token.
        prefix: keys and values of the prompts (`Decoder.prefill`), read by all rollouts, never copied.
        uniforms_PxNxT: one number in [0, 1) for each token; they decide the answers.
        settings: `max_new_tokens` is T.
        lengths_P: int32 [P], of prompts padded on the right; None: all of S.
    """
    state = begin(logits_PxV, prefix, uniforms_PxNxT, settings)
    state = advance(model, state, prefix, uniforms_PxNxT, settings, lengths_P)
    answers = {name: jnp.moveaxis(value, 0, 2) for name, value in state.answers.items()}
    return Rollouts(**answers, lengths=jnp.sum(answers["mask"], axis=-1, dtype=jnp.int32))


def begin(
    logits_PxV: jax.Array,
    prefix: Prefix,
    uniforms_PxNxT: jax.Array,
    settings: Settings,
    done_PxN: jax.Array | None = None,
) -> State:
    """Answers of one token; none where `done`. Arguments as those of `decode`."""
    P, N, T = uniforms_PxNxT.shape
    state = initial(prefix, (T, P, N), settings)
    if done_PxN is not None:
        state = dataclasses.replace(state, done=done_PxN)
    first_PxNxV = jnp.broadcast_to(logits_PxV[:, None], (P, N, logits_PxV.shape[-1]))
    return _write(state, first_PxNxV, jnp.moveaxis(uniforms_PxNxT, 2, 0), settings)


def advance(
    model: Decoder,
    state: State,
    prefix: Prefix,
    uniforms_PxNxT: jax.Array,
    settings: Settings,
    lengths_P: jax.Array | None = None,
    written: int = 1,
) -> State:
    """Goes on from answers of `written` tokens to T, or until all are done. Arguments as those of `decode`."""
    T = uniforms_PxNxT.shape[2]
    S = prefix[0][0].shape[-2]
    uniforms_TxPxN = jnp.moveaxis(uniforms_PxNxT, 2, 0)
    # Time first: [T, 1, h/2], or [T, P, 1, 1, h/2] where every prompt has positions of its own.
    cos, sin = (jnp.moveaxis(table, -3, 0) for table in model.answer_rotation(S, T, lengths_P))

    def step(state: State, cache_length: int) -> State:
        slot = state.step - 1  # position of the last token within the answer
        rope = tuple(jax.lax.dynamic_index_in_dim(table, slot, keepdims=False) for table in (cos, sin))
        logits_PxNxV, caches = _forward(model, state, slot, rope, prefix, lengths_P, cache_length)
        return _write(dataclasses.replace(state, caches=caches), logits_PxNxV, uniforms_TxPxN, settings)

    # One loop for each length of the cache that is read; a loop whose rows are all done ends at once.
    for start in range(written, T, settings.cache_segment):
        stop = min(start + settings.cache_segment, T)
        state = jax.lax.while_loop(
            lambda state, stop=stop: (state.step < stop) & ~jnp.all(state.done),
            lambda state, stop=stop: step(state, stop - 1),
            state,
        )
    return state


def initial(prefix: Prefix, shape_TPN: tuple[int, int, int], settings: Settings) -> State:
    """Nothing written yet, and room for T tokens."""
    T, P, N = shape_TPN
    R, _, K, _, h = prefix[0][0].shape
    return State(
        step=jnp.int32(0),
        last=jnp.zeros((P, N), jnp.int32),
        done=jnp.zeros((P, N), bool),
        answers={
            "tokens": jnp.full(shape_TPN, settings.pad_token, jnp.int32),
            "mask": jnp.zeros(shape_TPN, bool),
            "log_probs": jnp.zeros(shape_TPN, jnp.float32),
            "entropies": jnp.zeros(shape_TPN, jnp.float32),
        },
        caches=tuple(
            (jnp.zeros((R, P, N, K, h, T - 1), k.dtype), jnp.zeros((R, P, N, K, T - 1, h), v.dtype)) for k, v in prefix
        ),
    )


def _forward(
    model: Decoder,
    state: State,
    slot: jax.Array,
    rope: Rotation,
    prefix: Prefix,
    lengths_P: jax.Array | None,
    cache_length: int,
) -> tuple[jax.Array, Caches]:
    """The model on the last token of every rollout: next-token logits [P, N, V] and the grown caches."""
    zero = jnp.int32(0)  # indices of one type, in float64 mode too

    def attend(
        rule: Rule, q: jax.Array, k: jax.Array, v: jax.Array, layer: Layer, caches: Caches
    ) -> tuple[jax.Array, Caches]:
        # The loop over layers carries whole stacks: a step writes its slot of them in place, and copies none.
        keys, values = caches[layer.place]
        block = (layer.turn, zero, zero, zero)
        keys = jax.lax.dynamic_update_slice(keys, k[None, ..., None], (*block, zero, slot))
        values = jax.lax.dynamic_update_slice(values, v[None, ..., None, :], (*block, slot, zero))
        k_PxNxKxhxT, v_PxNxKxTxh = (
            jax.lax.dynamic_index_in_dim(stack, layer.turn, keepdims=False) for stack in (keys, values)
        )
        seen_k, seen_v = k_PxNxKxhxT[..., :cache_length], v_PxNxKxTxh[..., :cache_length, :]
        prefix_k, prefix_v = layer.given
        attended = attention.decode(q, seen_k, seen_v, slot, prefix_k, prefix_v, rule, lengths_P)
        return attended, (*caches[: layer.place], (keys, values), *caches[layer.place + 1 :])

    x_PxNxD, caches = model.run(state.last, rope, attend, prefix, state.caches)
    return model.logits(x_PxNxD), caches


def _write(state: State, logits_PxNxV: jax.Array, uniforms_TxPxN: jax.Array, settings: Settings) -> State:
    """Draws a token for every rollout that is not done, and writes it with its log-probability."""
    log_probs_PxNxV = sampling.log_probs(logits_PxNxV, settings.temperature, settings.top_p)
    if settings.temperature == 0:
        drawn = jnp.argmax(logits_PxNxV, axis=-1).astype(jnp.int32)
    else:
        uniforms = jax.lax.dynamic_index_in_dim(uniforms_TxPxN, state.step, keepdims=False)
        drawn = sampling.draw(log_probs_PxNxV, uniforms)
    alive = ~state.done
    values = {
        "tokens": jnp.where(alive, drawn, settings.pad_token),
        "mask": alive,
        "log_probs": jnp.where(alive, sampling.pick(log_probs_PxNxV, drawn), 0),
        "entropies": jnp.where(alive, sampling.entropy(log_probs_PxNxV), 0),
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
