"""The way of a wall follower, one hand on the wall: right where it is open, else straight on, else left, else back.

It finds every goal, by detours, and looks at nothing but the squares around it. Each of its moves follows from these
and the move before, where a solution depends on what is far away: a policy that imitates it learns where it is and what
is a wall, and little else.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int, Int32

from maxrl_jax.tasks.maze import tokens

# Moves as 0..3 for up, down, left, right. By the move that led to a cell, the moves to try there in their order.
_ORDER = np.array([[3, 0, 2, 1], [2, 1, 3, 0], [0, 2, 1, 3], [1, 3, 0, 2]])
_RIGHT = 3
_STEPS = np.array([tokens.DISPLACEMENTS[move] for move in tokens.MOVES])  # [4, (rows, columns)]

State = tuple[Int[Array, "B 2"], Int[Array, " B"]]
"""Where each walk is, and the move that led there."""


def walk(walls: Bool[Array, "B n n"], length: int) -> Int32[Array, "B L"]:
    """Moves from the start, as if it was entered from its left, DONE, <eos>, then <pad>.

    Args:
        walls: of mazes that have a way from start to goal.
        length: L, even: what does not fit is cut off, and then there is no DONE.

    Raises:
        ValueError: an odd length.
    """
    if length % 2:
        raise ValueError(f"length of a wall follower's way: got {length}, allowed: even numbers (two tokens an edge)")
    goal = walls.shape[-1] - 2
    batch = jnp.arange(len(walls))[:, None]
    order, steps = jnp.asarray(_ORDER), jnp.asarray(_STEPS)

    def edge(state: State, _: None) -> tuple[State, tuple[Int[Array, " B"], Bool[Array, " B"]]]:
        square, last = state
        tried = order[last]  # [B, 4]
        beside = square[:, None] + steps[tried]  # [B, 4, 2]
        is_open = ~walls[batch, beside[..., 0], beside[..., 1]]
        move = jnp.take_along_axis(tried, is_open.argmax(1, keepdims=True), axis=1)[:, 0]
        square = square + 2 * steps[move]
        return (square, move), (move, (square == goal).all(1))

    start = jnp.ones((len(walls), 2), jnp.int32), jnp.full(len(walls), _RIGHT)
    _, (moves, at_goal) = lax.scan(edge, start, length=length // 2)  # [edges, B]
    edges = jnp.where(at_goal.any(0), at_goal.argmax(0) + 1, length)  # a walk goes on past the goal, its way does not
    return tokens.ended(tokens.UP + jnp.repeat(moves.T, 2, axis=1), 2 * edges)
