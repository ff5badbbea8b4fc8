"""Named streams of random keys: every random use has a name and a step, and a key is used once.

A key is never carried from step to step. It is made where it is used, from the run's seed, the name of the
use and the step, so a resumed run replays exactly the random numbers of an uninterrupted one, and adding a
new random use changes none of the others.
"""

import zlib

import jax
import jax.numpy as jnp


def stream(seed: int | jax.Array, name: str, step: int | jax.Array = 0) -> jax.Array:
    """The key of one named use at one step: ``fold_in(fold_in(key(seed), crc32(name)), step)``.

    Args:
        seed: the run's seed (an integer, may be traced), or a key of another stream to derive from.
        name: what the key is for, such as "rollouts"; two uses never share a name.
        step: step of the phase, counted from 0; may be traced.

    Returns:
        A typed key, to be consumed once (or split).

    Raises:
        ValueError: if the name is empty.
    """
    if not name:
        raise ValueError("a random stream needs a name, got an empty one")
    key = seed if _is_key(seed) else jax.random.key(seed)
    return jax.random.fold_in(jax.random.fold_in(key, zlib.crc32(name.encode())), step)


def _is_key(seed: int | jax.Array) -> bool:
    return isinstance(seed, jax.Array) and jnp.issubdtype(seed.dtype, jax.dtypes.prng_key)
