"""A curriculum: smaller mazes in the corner of a full-sized frame of walls first.

Reading walls is learned in a few hundred steps from small mazes and hardly ever from large ones. Inside the frame a
square keeps its place among the prompt's tokens and a row its stride, so a grown maze adds squares and changes none.
"""

import jax.numpy as jnp
from jaxtyping import Array, Int

from maxrl_jax.tasks.maze import generator, tokens

SMALLEST = 7
"""Squares a side of the first mazes."""


def stages(size: int) -> tuple[int, ...]:
    """The sizes below ``size`` that mazes grow through: 7, 9, ..., each for an equal share of the curriculum's steps.

    Raises:
        ValueError: there is none.
    """
    tokens.check_size(size)
    if size <= SMALLEST:
        raise ValueError(f"maze size of a curriculum: got {size}, allowed: odd integers > {SMALLEST}")
    return tuple(range(SMALLEST, size, 2))


def stage_at(step: Int[Array, ""] | int, steps: int, size: int) -> Int[Array, ""]:
    """The stage at a step of a curriculum of ``steps``, an index into ``stages(size)``; their number once over."""
    count = len(stages(size))
    return jnp.minimum(step * count // steps, count)


def framed(keys: Array, size: int, frame: int) -> generator.Mazes:
    """Small mazes in the upper left corner of a frame of walls.

    The goal stays that of the small maze, (size - 2, size - 2), so ``verifier.judge``, which looks for it in the
    corner of the frame, does not apply.

    Args:
        keys: B of them, one for each maze, as ``generator.generate_from_keys`` takes them.
        size: of the mazes.
        frame: squares a side of the frame, odd, at least ``size``.

    Returns:
        ``Mazes`` of the frame's shapes.
    """
    mazes = generator.generate_from_keys(keys, size)
    outside = frame - size
    walls = jnp.pad(mazes.walls, ((0, 0), (0, outside), (0, outside)), constant_values=True)
    longer = tokens.longest_solution(frame) - tokens.longest_solution(size)
    solution = jnp.pad(mazes.solution, ((0, 0), (0, longer)), constant_values=tokens.PAD)
    return generator.Mazes(walls, solution, mazes.num_moves)
