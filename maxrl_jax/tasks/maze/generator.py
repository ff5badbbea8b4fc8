"""Mazes by randomised Prim, batched on the device, with their solutions.

Prim's algorithm carves the m x m cells (m = (size - 1) / 2) one by one. The frontier is the set of the uncarved
cells next to a carved one (two squares away); a step takes a uniform frontier cell and joins it to a uniform
carved neighbour, its parent. m^2 - 1 steps make a spanning tree, and the chain of parents from the goal is the
solution: no search is needed.

A step works on bit sets (``bitboard``): the frontier of a 17 x 17 maze is two 32-bit words, and choosing one of
its cells is a population count and a binary search, the same instructions for every maze of the batch.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int32, UInt32

from maxrl_jax.tasks.maze import bitboard, tokens


class Mazes(NamedTuple):
    """A batch of B mazes of n x n squares.

    Attributes:
        walls: True where there is a wall.
        solution: the moves from start to goal, DONE, <eos>, then <pad>; L = longest_solution(n) + 2.
        num_moves: moves in the solution, which is the only and so the shortest one.
    """

    walls: Bool[Array, "B n n"]
    solution: Int32[Array, "B L"]
    num_moves: Int32[Array, " B"]


class _Tree(NamedTuple):
    """Spanning trees in bit sets: the carved cells, and the move (a 2-bit code) from its parent to each of them."""

    carved: UInt32[Array, "W B"]
    move_low: UInt32[Array, "W B"]
    move_high: UInt32[Array, "W B"]


@functools.partial(jax.jit, static_argnames=("num_mazes", "size"))
def generate(key: Array, num_mazes: int, size: int) -> Mazes:
    """Mazes by randomised Prim (compiled once for each num_mazes and size).

    Maze i is a function of ``fold_in(key, i)`` and size alone: not of num_mazes, the device or the sharding.

    Args:
        key: consumed.
        num_mazes: B >= 1, static.
        size: n, squares a side, odd and >= 5, static.

    Returns:
        ``Mazes`` with leading axis B.

    Raises:
        ValueError: for another size, before any compile.
    """
    return generate_from_keys(maze_keys(key, num_mazes), size)


def maze_keys(key: Array, num_mazes: int) -> Array:
    """The keys of the mazes of ``generate``, for those who shard them over devices or want single ones again."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(num_mazes))


@functools.partial(jax.jit, static_argnames="size")
def generate_from_keys(keys: Array, size: int) -> Mazes:
    """One maze for each key of an array of B keys: ``generate(key, B, size)`` from ``maze_keys(key, B)``.

    Each maze depends on its own key alone, so the batch follows the sharding of the keys.
    """
    m = tokens.cells_per_side(size)
    # Mazes are the last axis: the lanes of every kernel. One word a step serves both of its choices.
    bits = jax.vmap(lambda key: jax.random.bits(key, (m * m - 1,), jnp.uint32), out_axes=1)(keys)
    tree = _prim(bits, m)
    path, num_moves = _path_to_goal(tree, m)
    return Mazes(_walls(tree, m), _solution(path, num_moves, size), num_moves)


def _prim(bits: UInt32[Array, "steps B"], m: int) -> _Tree:
    """Carves every cell; ``bits`` holds one uniform word for each step and maze."""
    words, batch = bitboard.num_words(m), bits.shape[1]
    empty = jnp.zeros((words, batch), jnp.uint32)
    # The start is cell 0; its move (0, up) has no parent behind it and `_walls` leaves it out.
    start = jnp.zeros((batch,), jnp.uint32)

    def step(i, state):
        # A choice is applied one step after it was made. XLA computes it in the kernel of each array that uses it
        # in the same step; carried over, it is computed once (4 times as fast on a CPU).
        tree, choice = state
        carved = bitboard.union(list(tree.carved), bitboard.single(choice >> 2, words))
        return _carve(tree, choice), _choose(carved, bits[i], m)

    tree, choice = lax.fori_loop(0, m * m - 1, step, (_Tree(empty, empty, empty), start))
    return _carve(tree, choice)


def _choose(carved: bitboard.Board, bits: UInt32[Array, " B"], m: int) -> UInt32[Array, " B"]:
    """A uniform frontier cell and a uniform carved neighbour of it, as 4 * cell + the move from that neighbour."""
    reached = bitboard.neighbours(carved, m)
    frontier = bitboard.difference(bitboard.union(*reached), carved)
    counts = bitboard.count(frontier)
    total = sum(counts[1:], counts[0])
    cell = bitboard.select(frontier, counts, bitboard.multiply_high(bits, total))
    here = bitboard.single(cell, len(carved))
    # The moves that lead here from a carved cell, as 0 or 1 each, and the one with the drawn rank among them.
    up, down, left, right = (bitboard.meets(board, here) for board in reached)
    rank = bitboard.multiply_high(bits * total, up + down + left + right)
    move = sum((ends <= rank).astype(jnp.uint32) for ends in (up, up + down, up + down + left))
    return 4 * cell + move


def _carve(tree: _Tree, choice: UInt32[Array, " B"]) -> _Tree:
    """Adds the chosen cell and its move to the tree."""
    here = bitboard.single_stacked(choice >> 2, tree.carved.shape[0])
    return _Tree(
        tree.carved | here,
        tree.move_low | here * (choice & 1),
        tree.move_high | here * ((choice >> 1) & 1),
    )


def _walls(tree: _Tree, m: int) -> Bool[Array, "B n n"]:
    """Draws the trees on the grid."""
    carved, low, high = (list(board) for board in tree)
    start = bitboard.constant(m, lambda i, j: i == j == 0)
    up = bitboard.difference(bitboard.difference(carved, start), bitboard.union(low, high))
    down, left, right = bitboard.difference(low, high), bitboard.difference(high, low), bitboard.intersection(low, high)
    # Cell (i, j) lies at square (2i + 1, 2j + 1). North of it is open where it was entered by moving down, or
    # the cell above by moving up from it; west alike.
    north = bitboard.union(down, bitboard.neighbours(up, m)[1])
    west = bitboard.union(right, bitboard.neighbours(left, m)[3])

    def wall(open_board: bitboard.Board) -> Bool[Array, "B m m"]:
        words = jnp.stack(open_board, axis=1)
        bits = (words[:, :, None] >> jnp.arange(bitboard.WORD, dtype=jnp.uint32)) & 1
        return (bits == 0).reshape(words.shape[0], -1)[:, : m * m].reshape(-1, m, m)

    north_wall, west_wall = wall(north), wall(west)
    # Each cell owns the 2 x 2 squares of which it is the lower right one; the last row and column are border.
    upper = jnp.stack([jnp.ones_like(north_wall), north_wall], axis=-1)
    lower = jnp.stack([west_wall, jnp.zeros_like(west_wall)], axis=-1)
    squares = jnp.stack([upper, lower], axis=2).reshape(-1, 2 * m, 2 * m)
    return jnp.pad(squares, ((0, 0), (0, 1), (0, 1)), constant_values=True)


def _path_to_goal(tree: _Tree, m: int) -> tuple[UInt32[Array, "R B"], Int32[Array, " B"]]:
    """Walks from the goal to the start and packs the moves met on the way, 2 bits an edge.

    Each move is pushed into the low end of a register of R words, so that the first move of the path, which the
    walk meets last, ends up lowest: the order is turned round without an index.

    Returns:
        The registers, and the number of moves (two squares an edge).
    """
    _, low, high = (list(board) for board in tree)
    batch = low[0].shape[0]
    words = -(-(tokens.longest_solution(2 * m + 1) + 2) // bitboard.WORD)

    def step(state):
        cell, register, num_moves = state
        walking = cell != 0
        bit, sideways = bitboard.contains(low, cell), bitboard.contains(high, cell)
        stride = jnp.where(sideways == 1, jnp.uint32(1), jnp.uint32(m))
        parent = jnp.where(bit == 1, cell - stride, cell + stride)  # down and right raise the cell number
        carries = jnp.concatenate([((2 * sideways + bit) << 30)[None], register[:-1]]) >> 30
        pushed = (register << 2) | carries
        return (
            jnp.where(walking, parent, cell),
            jnp.where(walking, pushed, register),
            num_moves + 2 * walking.astype(jnp.int32),
        )

    goal = jnp.full((batch,), m * m - 1, jnp.uint32)
    state = goal, jnp.zeros((words, batch), jnp.uint32), jnp.zeros((batch,), jnp.int32)
    # As many steps as the longest path of the batch has edges: under a quarter of the worst case at 17 x 17.
    _, register, num_moves = lax.while_loop(lambda state: jnp.any(state[0] != 0), step, state)
    return register, num_moves


def _solution(register: UInt32[Array, "R B"], num_moves: Int32[Array, " B"], size: int) -> Int32[Array, "B L"]:
    """Moves, DONE, <eos>, <pad> from packed moves: edge e, two moves, is the 2 bits at 2 (e % 16) of word e // 16."""
    length = tokens.longest_solution(size) + 2
    shifts = jnp.arange(bitboard.WORD, dtype=jnp.uint32) // 2 * 2
    codes = (register.T[:, :, None] >> shifts) & 3
    moves = tokens.UP + codes.astype(jnp.int32).reshape(register.shape[1], -1)[:, :length]
    return tokens.ended(moves, num_moves)
