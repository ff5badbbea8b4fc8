"""Reshuffled epochs of a finite training set, for any task.

Which problems a step sees is a function of the step alone: epoch e goes through all M in an order of its own, a
permutation keyed by (key, e), and batches run on across the end of an epoch. So the position in the data is the step.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int32, UInt32

_ROUNDS = 8  # of the Feistel network; 4 make a pseudo-random permutation of long words, short ones need more


def epoch_indices(key: Array, step: Int32[Array, ""] | int, num_prompts: int, set_size: int) -> Int32[Array, " B"]:
    """The indices that a step sees: positions step * B .. + B - 1 of all epochs laid end to end.

    Args:
        key: of the orders of the epochs; the same one at every step.
        step: counted from 0; ``(step + 1) * num_prompts`` must stay below 2^32.
        num_prompts: B problems a step, static.
        set_size: M problems in the set, static.

    Raises:
        ValueError: for an empty set or a set of more than 2^30 problems.
    """
    if not 1 <= set_size <= 2**30:
        raise ValueError(f"finite training set: got {set_size} problems, allowed: 1 .. 2^30")
    position = jnp.uint32(step) * jnp.uint32(num_prompts) + jnp.arange(num_prompts, dtype=jnp.uint32)
    epochs, places = position // set_size, position % set_size
    return jax.vmap(lambda epoch, place: _permute(jax.random.fold_in(key, epoch), place, set_size))(epochs, places)


def _permute(key: Array, place: UInt32[Array, ""], length: int) -> Int32[Array, ""]:
    """Entry ``place`` of a permutation of 0 .. length - 1, in constant time and memory.

    A Feistel network permutes the words of 2h bits, whatever its round function is; applied again until the result
    is below ``length`` (cycle walking), it permutes 0 .. length - 1. A sort of the whole set, as in
    ``jax.random.permutation``, would cost a step of 32 problems as much as one of all of them.
    """
    half = max(2, -(-(length - 1).bit_length() // 2))
    round_keys = jax.random.bits(key, (_ROUNDS,), jnp.uint32)
    mask = jnp.uint32((1 << half) - 1)

    def network(word):
        left, right = word >> half, word & mask
        for i in range(_ROUNDS):
            left, right = right, left ^ (_mix32(right ^ round_keys[i]) & mask)
        return (left << half) | right

    return lax.while_loop(lambda word: word >= length, network, network(place)).astype(jnp.int32)


def _mix32(word: UInt32[Array, ""]) -> UInt32[Array, ""]:
    """The finaliser of MurmurHash3: every bit of the result depends on every bit of the word."""
    word = (word ^ (word >> 16)) * jnp.uint32(0x85EBCA6B)
    word = (word ^ (word >> 13)) * jnp.uint32(0xC2B2AE35)
    return word ^ (word >> 16)
