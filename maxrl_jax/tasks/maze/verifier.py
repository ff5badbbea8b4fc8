"""Walks an answer through its maze: whether it is right, and the reason when it fails.

By the published rule an answer is right iff DONE appears in it, every token before the first DONE is a move, and
following those moves from the start reaches the goal before a wall or the edge of the grid. Moves after the goal do
not matter to that rule: such an answer overruns, and `reward.judged` refuses it where the reward is ``exact``.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int, Int32

from maxrl_jax.tasks.maze import tokens

REASONS = ("solved", "no DONE", "not a move", "wall", "edge", "short", "overrun")
SOLVED, NO_DONE, NOT_A_MOVE, HIT_WALL, LEFT_GRID, SHORT, OVERRUN = range(len(REASONS))

# The kinds of squares a walk may enter.
OPEN, GOAL, WALL, EDGE = range(4)


class Verdict(NamedTuple):
    """The outcome of each answer.

    Attributes:
        reason: index into ``REASONS``. The first that applies: no DONE anywhere; a token before DONE that is not a
            move; then the walk's own end: solved, wall, edge, or short of the goal. ``overrun`` occurs under the
            reward ``exact`` alone, and is ``solved`` elsewhere.
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
        answers: tokens after the prompt; those after the first DONE are ignored.

    Raises:
        ValueError: for shapes that do not fit.
    """
    return (judge(walls, answers).reason == SOLVED).astype(jnp.float32)


def shortest(verdict: Verdict, num_moves: Int32[Array, " B"]) -> Bool[Array, "B N"]:
    """Whether an answer is right and, moves after the goal included, as long as the solution (``Mazes.num_moves``)."""
    return (verdict.reason == SOLVED) & (verdict.num_moves == num_moves[:, None])


def overrun(verdict: Verdict) -> Bool[Array, "B N"]:
    """Whether a right answer makes a move after it has reached the goal."""
    return (verdict.reason == SOLVED) & (verdict.num_moves > verdict.num_steps)


def judge(walls: Bool[Array, "B n n"], answers: Int[Array, "B N T"]) -> Verdict:
    """Follows N answers to each of B mazes.

    Args, Raises: as ``verify``.
    """
    return walk(walls, answers)[0]


def walk(walls: Bool[Array, "B n n"], answers: Int[Array, "B N T"]) -> tuple[Verdict, Int32[Array, "B N"]]:
    """The verdict and the square of the framed grid (`frame`) where the walk ended.

    All T moves are made at once, the squares visited being a cumulative sum. After a wall or the edge the square is
    that of the wall or of the edge.
    """
    _check(walls, answers)
    length = answers.shape[-1]
    board, stride = frame(walls)

    is_move = (answers >= tokens.UP) & (answers <= tokens.RIGHT)
    num_moves = _first(~is_move)
    ends_in_done = jnp.any(answers == tokens.DONE, axis=-1)
    # The first token that is no move is DONE itself iff the number of moves is the place of the first DONE.
    only_moves = _first(answers == tokens.DONE) == num_moves

    displacement = jnp.zeros(answers.shape, jnp.int32)
    for move, (rows, columns) in tokens.DISPLACEMENTS.items():
        displacement = jnp.where(answers == move, rows * stride + columns, displacement)
    # Beyond the first wall, edge or goal a number may name a wrong square or none, and no longer matters.
    squares = jnp.clip(start(stride) + jnp.cumsum(displacement, axis=-1), 0, board.shape[-1] - 1)
    entered = at(board, squares)

    walking = jnp.arange(length) < num_moves[..., None]
    ended = walking & (entered != OPEN)
    num_steps = jnp.minimum(_first(ended) + 1, num_moves)
    # At most one True a row: a sum picks what is there.
    is_last = jnp.arange(length) == num_steps[..., None] - 1
    last = jnp.sum(jnp.where(ended & is_last, entered, OPEN), axis=-1)  # open where nothing ended the walk

    reason = jnp.select(
        [~ends_in_done, ~only_moves, last == GOAL, last == WALL, last == EDGE],
        [jnp.int32(code) for code in (NO_DONE, NOT_A_MOVE, SOLVED, HIT_WALL, LEFT_GRID)],
        jnp.int32(SHORT),
    )
    square = jnp.where(num_steps > 0, jnp.sum(jnp.where(is_last, squares, 0), axis=-1), start(stride))
    return Verdict(reason, num_moves, num_steps), square


def at(board: Array, squares: Int32[Array, "B ..."]) -> Array:
    """The entries of a framed board ``[B, S]`` at some squares of each maze."""
    return jnp.take_along_axis(board, squares.reshape(len(squares), -1), axis=-1).reshape(squares.shape)


def frame(walls: Bool[Array, "B n n"]) -> tuple[Int32[Array, "B S"], int]:
    """The kind of each square, the grid framed by an edge, flattened with a row stride of n + 1.

    One column of edge serves both sides: left of the first column of a row is the edge column of the row above.
    """
    size = walls.shape[-1]
    inside = np.full((size, size), OPEN, np.int32)
    inside[size - 2, size - 2] = GOAL
    squares = jnp.where(walls, WALL, inside)
    framed = jnp.pad(squares, ((0, 0), (1, 1), (0, 1)), constant_values=EDGE)
    return framed.reshape(walls.shape[0], -1), size + 1


def start(stride: int) -> int:
    """The number of the start, (1, 1), in the framed grid."""
    return 2 * stride + 1


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
