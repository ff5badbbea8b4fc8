"""The blocks of a decoder in stacks, and the loop over them, compiled once whatever their number.

Blocks are equal but for what is static in them, their window. With p = `Config.period` blocks a turn and
R = num_layers / p turns, block l is entry l // p of the stack at place l % p. A stack is a `Block` whose parameters
have a leading axis R.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from flax import nnx

from maxrl_jax.lm.decoder.block import Block
from maxrl_jax.lm.decoder.config import Config


class Layer(NamedTuple):
    """One block of the loop.

    Attributes:
        place: the number of its stack.
        given: its entry of `through`'s argument of that name.
    """

    place: int
    given: Any


Step = Callable[[Block, Any, Layer], tuple[Any, Any]]


def make(config: Config, rngs: nnx.Rngs) -> nnx.List:
    """The stacks of a fresh model, drawn block by block: numbers do not depend on how blocks are stacked."""

    def turn(rngs: nnx.Rngs) -> tuple[nnx.Rngs, nnx.List]:
        return rngs, nnx.List([Block(config, place, rngs=rngs) for place in range(config.period)])

    turns = config.num_layers // config.period
    if turns == 1:
        return jax.tree.map(lambda a: a[None], turn(rngs)[1])
    return nnx.scan(turn, length=turns, in_axes=nnx.Carry, out_axes=(nnx.Carry, 0))(rngs)[1]


@functools.lru_cache
def block_shapes(config: Config) -> nnx.State:
    """The shapes of a block's parameters, those of every block."""
    return nnx.state(nnx.eval_shape(lambda: Block(config, 0, rngs=nnx.Rngs(0))))


def through(
    stacks: Sequence[Block],
    step: Step,
    carry: Any,
    given: Sequence[Any] | None = None,
    *,
    read: Callable[[nnx.State], nnx.State] = lambda params: params,
    remat: bool = False,
) -> tuple[Any, tuple[Any, ...]]:
    """Takes `carry` through all blocks in their order.

    A single turn is no loop: the program of a small model has its blocks side by side.

    Args:
        stacks: from `make`.
        step: `step(block, carry, layer) -> (carry, result)`.
        carry: pytree. Caches do not belong here: a loop that both reads and writes an array copies it.
        given: for each place a pytree of [R, ...] that steps read; None for none.
        read: from a block's stored parameters to those it computes with.
        remat: a gradient keeps each block's carry alone, and runs the block a second time for the rest. Without it, it
            keeps the products of weights too, and a loop runs what lies between them a second time, which takes less
            time than to write and read it.

    Returns:
        The last carry, and for each place the results, [R, ...].
    """
    graphs, params = zip(*(nnx.split(stack) for stack in stacks), strict=True)
    turns = jax.tree.leaves(params[0])[0].shape[0]
    given = given or (None,) * len(stacks)

    def at(place: int) -> Callable:
        def run(carry: Any, params: Any, given: Any) -> tuple[Any, Any]:
            return step(nnx.merge(graphs[place], read(params)), carry, Layer(place, given))

        if turns == 1 and not remat:
            return run
        kept = None if remat else jax.checkpoint_policies.dots_with_no_batch_dims_saveable
        # Within a loop the compiler cannot merge the second run with the first.
        return jax.checkpoint(run, prevent_cse=turns == 1, policy=kept)

    def one_turn(carry: Any, inputs: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        results = []
        for place, (params, given) in enumerate(inputs):
            carry, result = at(place)(carry, params, given)
            results.append(result)
        return carry, tuple(results)

    inputs = tuple(zip(params, given, strict=True))
    if turns > 1:
        return jax.lax.scan(one_turn, carry, inputs)
    carry, results = one_turn(carry, jax.tree.map(lambda a: a[0], inputs))
    return carry, jax.tree.map(lambda a: a[None], results)
