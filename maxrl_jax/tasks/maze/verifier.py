"""The reward of an answer, and the reason when it fails.

An answer is right iff DONE appears in it, every token before the first DONE is a move, and following those moves
from the start reaches the goal before a wall or the edge of the grid. Reaching the goal early counts; moves after
that do not matter. Rewards are binary.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int, Int32

from maxrl_jax.tasks.maze import tokens

REWARDS = "binary"  # what drivers check an advantage against

REASONS = ("solved", "no DONE", "not a move", "wall", "edge", "short")
SOLVED, NO_DONE, NOT_A_MOVE, HIT_WALL, LEFT_GRID, SHORT = range(len(REASONS))

# What a square does to a walk that enters it.
_OPEN, _GOAL, _WALL, _EDGE = range(4)


class Verdict(NamedTuple):
    """What became of each answer.

    Attributes:
        reason: index into ``REASONS``. The first that applies: no DONE anywhere; a token before DONE that is not a
            move; then the walk's own end: solved, wall, edge, or short of the goal.
        num_moves: moves before the first token that is none.
        num_steps: moves made until the walk ended, the one into the goal, wall or edge included (== num_moves when
            it met none of them).
    """

    reason: Int32[Array, "B N"]
    num_moves: Int32[Array, "B N"]
    num_steps: Int32[Array, "B N"]


def verify(walls: Bool[Array, "B n n"], answers: Int[Array, "B N T"]) -> Float32[Array, "B N"]:
    """Rewards in {0, 1} of N answers to each of B mazes.

    Args:
        walls: True where there is a wall; any grid, perfect or not.
        answers: tokens after the prompt; what follows the first DONE is not looked at.

    Raises:
        ValueError: for shapes that do not fit.
    """
    return (judge(walls, answers).reason == SOLVED).astype(jnp.float32)


def shortest(
    walls: Bool[Array, "B n n"], answers: Int[Array, "B N T"], num_moves: Int32[Array, " B"]
) -> Bool[Array, "B N"]:
    """Whether an answer is right with no move more than the solution has (``Mazes.num_moves``)."""
    verdict = judge(walls, answers)
    return (verdict.reason == SOLVED) & (verdict.num_moves == num_moves[:, None])


def judge(walls: Bool[Array, "B n n"], answers: Int[Array, "B N T"]) -> Verdict:
    """Follows N answers to each of B mazes; all T moves at once, the squares visited being a cumulative sum.

    Args, Raises: as ``verify``.
    """
    _check(walls, answers)
    length = answers.shape[-1]
    board, stride = _board(walls)

    is_move = (answers >= tokens.UP) & (answers <= tokens.RIGHT)
    num_moves = _first(~is_move)
    ends_in_done = jnp.any(answers == tokens.DONE, axis=-1)
    # The first token that is no move is DONE itself iff the number of moves is the place of the first DONE.
    only_moves = _first(answers == tokens.DONE) == num_moves

    displacement = jnp.zeros(answers.shape, jnp.int32)
    for move, (rows, columns) in tokens.DISPLACEMENTS.items():
        displacement = jnp.where(answers == move, rows * stride + columns, displacement)
    squares = _square(1, 1, stride) + jnp.cumsum(displacement, axis=-1)
    # Beyond the first wall, edge or goal a number may name a wrong square or none, and no longer matters.
    squares = jnp.clip(squares, 0, board.shape[-1] - 1).reshape(*answers.shape[:1], -1)
    entered = jnp.take_along_axis(board, squares, axis=-1).reshape(answers.shape)

    walking = jnp.arange(length) < num_moves[..., None]
    ended = walking & (entered != _OPEN)
    num_steps = jnp.minimum(_first(ended) + 1, num_moves)
    # At most one True a row: a sum picks the square that ended the walk, 0 = open where none did.
    last = jnp.sum(jnp.where(ended & (jnp.arange(length) == num_steps[..., None] - 1), entered, _OPEN), axis=-1)

    reason = jnp.select(
        [~ends_in_done, ~only_moves, last == _GOAL, last == _WALL, last == _EDGE],
        [jnp.int32(code) for code in (NO_DONE, NOT_A_MOVE, SOLVED, HIT_WALL, LEFT_GRID)],
        jnp.int32(SHORT),
    )
    return Verdict(reason, num_moves, num_steps)


def _board(walls: Bool[Array, "B n n"]) -> tuple[Int32[Array, "B S"], int]:
    """What entering each square does, the grid framed by an edge, flattened with a row stride of n + 1.

    One column of edge serves both sides: left of the first column of a row is the edge column of the row above.
    """
    size = walls.shape[-1]
    inside = np.full((size, size), _OPEN, np.int32)
    inside[size - 2, size - 2] = _GOAL
    squares = jnp.where(walls, _WALL, inside)
    framed = jnp.pad(squares, ((0, 0), (1, 1), (0, 1)), constant_values=_EDGE)
    return framed.reshape(walls.shape[0], -1), size + 1


def _square(row: int, column: int, stride: int) -> int:
    """The number of a square of the framed grid."""
    return (row + 1) * stride + column


def _first(mask: Bool[Array, "... T"]) -> Int32[Array, "..."]:
    """The place of the first True along the last axis, T where there is none."""
    length = mask.shape[-1]
    return jnp.min(jnp.where(mask, jnp.arange(length, dtype=jnp.int32), jnp.int32(length)), axis=-1)


def _check(walls: Array, answers: Array) -> None:
    """The contract of ``verify``."""
    if walls.ndim != 3 or walls.shape[-1] != walls.shape[-2]:
        raise ValueError(f"walls: got shape {walls.shape}, allowed: [B, n, n]")
    tokens.check_size(walls.shape[-1])
    if answers.ndim != 3 or answers.shape[0] != walls.shape[0] or answers.shape[-1] < 1:
        raise ValueError(f"answers: got shape {answers.shape}, allowed: [{walls.shape[0]}, N, T] with T >= 1")
    if not jnp.issubdtype(answers.dtype, jnp.integer):
        raise ValueError(f"answers: got dtype {answers.dtype}, allowed: an integer dtype")
