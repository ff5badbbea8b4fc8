"""A finite training set over many epochs, the data-scarce regime (MaxRL, section 6.2).

The set is the first M training mazes of a stream, and nothing is stored: maze j is made again from the j-th key of
the stream whenever it comes up, which costs microseconds.
"""

import jax
from jaxtyping import Array, Int32

from maxrl_jax.tasks.epochs import epoch_indices
from maxrl_jax.tasks.maze import generator, split


def sample_finite(
    key: Array, step: Int32[Array, ""] | int, num_prompts: int, size: int, held_out: split.HeldOut, set_size: int
) -> tuple[generator.Mazes, Int32[Array, " B"]]:
    """The mazes of one step of training on a finite set.

    Args:
        key: of the set and of the orders of its epochs; the same one at every step.
        step: counted from 0; ``(step + 1) * num_prompts`` must stay below 2^32.
        num_prompts: B mazes a step, static.
        size: of the mazes, static.
        held_out: mazes that are never in the set.
        set_size: M mazes in the set, static.

    Returns:
        The mazes and their indices in the set.
    """
    set_key, order_key = jax.random.split(key)
    indices = epoch_indices(order_key, step, num_prompts, set_size)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(set_key, indices)
    return split.sample_training_from_keys(keys, size, held_out), indices
