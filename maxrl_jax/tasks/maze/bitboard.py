"""Sets of the cells of a maze, one bit a cell, many mazes side by side.

A ``Board`` is a list of W = ceil(m^2 / 32) arrays of uint32, each of shape [B]: cell (i, j) of the m x m cells is
bit ``(i m + j) % 32`` of word ``(i m + j) // 32``. Every operation is elementwise over the B mazes, with no gather
and no scatter, so that a step over thousands of mazes is a few vectorised kernels on any device.
Moves are 0 up, 1 down, 2 left, 3 right, the order of ``tokens.MOVES``.
"""

import functools
import operator
from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, UInt32

Board = list[UInt32[Array, " B"]]
WORD = 32


def num_words(m: int) -> int:
    """Words of a board of m x m cells."""
    return -(-m * m // WORD)


def constant(m: int, member: Callable[[int, int], bool]) -> list[Array]:
    """The words of the set of the cells (row, column) for which ``member`` is true, as scalars."""
    words = [0] * num_words(m)
    for cell in range(m * m):
        if member(*divmod(cell, m)):
            words[cell // WORD] |= 1 << (cell % WORD)
    return [jnp.uint32(word) for word in words]


def union(*boards: Board) -> Board:
    """The cells in any of the boards."""
    return [functools.reduce(operator.or_, words) for words in zip(*boards, strict=True)]


def intersection(first: Board, second: Board) -> Board:
    """The cells in both boards."""
    return [a & b for a, b in zip(first, second, strict=True)]


def difference(first: Board, second: Board) -> Board:
    """The cells of the first board that are not in the second."""
    return [a & ~b for a, b in zip(first, second, strict=True)]


def meets(first: Board, second: Board) -> UInt32[Array, " B"]:
    """1 where two boards have a cell in common, else 0."""
    return (functools.reduce(operator.or_, intersection(first, second)) != 0).astype(jnp.uint32)


def _shift(board: Board, cells: int) -> Board:
    """Every cell number raised by ``cells`` (lowered when negative); bits that leave the words are lost."""
    words, bits = divmod(abs(cells), WORD)
    if cells < 0:  # lowering is raising with the order of words and of bits reversed
        board = board[::-1]
    near, far = (lax.shift_left, lax.shift_right_logical)[:: 1 if cells > 0 else -1]
    zero = jnp.zeros_like(board[0])
    padded = [zero] * (words + 1) + board
    shifted = []
    for i in range(len(board)):
        word = padded[i + 1]
        if bits:
            # The near word gives most bits, the one before it those that cross the border of the words.
            word = near(word, jnp.full_like(zero, bits)) | far(padded[i], jnp.full_like(zero, WORD - bits))
        shifted.append(word)
    return shifted if cells > 0 else shifted[::-1]


def neighbours(board: Board, m: int) -> tuple[Board, Board, Board, Board]:
    """For each move, the cells that it reaches from the set: (by up, by down, by left, by right)."""
    inside = constant(m, lambda i, j: True)
    off_first_column = constant(m, lambda i, j: j > 0)
    off_last_column = constant(m, lambda i, j: j < m - 1)
    return (
        _shift(board, -m),
        intersection(_shift(board, m), inside),
        intersection(_shift(board, -1), off_last_column),  # what wraps round arrives in the last column
        intersection(_shift(board, 1), off_first_column),
    )


def multiply_high(fraction: UInt32[Array, " B"], bound: UInt32[Array, " B"]) -> UInt32[Array, " B"]:
    """floor(fraction * bound / 2^32) for bound < 2^16, exactly and in 32 bits.

    With a uniform fraction this is uniform on 0..bound-1 to within bound / 2^32 of each probability, and the low
    word ``fraction * bound`` is again a fraction, independent of the result up to steps of bound / 2^32.
    """
    low = (fraction & 0xFFFF) * bound
    return ((fraction >> 16) * bound + (low >> 16)) >> 16


def _select_in_word(word: UInt32[Array, " B"], rank: UInt32[Array, " B"]) -> UInt32[Array, " B"]:
    """The position of the set bit of ``word`` that has ``rank`` set bits below it."""
    # Sums of 2, 4, 8 and 16 neighbouring bits, then a binary search from the widest to the narrowest.
    sums_1 = word
    sums_2 = sums_1 - ((sums_1 >> 1) & 0x55555555)
    sums_4 = (sums_2 & 0x33333333) + ((sums_2 >> 2) & 0x33333333)
    sums_8 = (sums_4 + (sums_4 >> 4)) & 0x0F0F0F0F
    sums_16 = (sums_8 + (sums_8 >> 8)) & 0x00FF00FF
    position = jnp.zeros_like(word)
    for width, sums in ((16, sums_16), (8, sums_8), (4, sums_4), (2, sums_2), (1, sums_1)):
        below = (sums >> position) & (2 * width - 1)
        upper = rank >= below
        position = jnp.where(upper, position + width, position)
        rank = jnp.where(upper, rank - below, rank)
    return position


def count(board: Board) -> list[UInt32[Array, " B"]]:
    """The number of cells in each word."""
    return [lax.population_count(word) for word in board]


def select(board: Board, counts: list[UInt32[Array, " B"]], rank: UInt32[Array, " B"]) -> UInt32[Array, " B"]:
    """The number of the cell that has ``rank`` cells of the set before it; ``counts`` is ``count(board)``."""
    word, index = board[0], jnp.zeros_like(rank)
    for i in range(1, len(board)):
        beyond = (index == i - 1) & (rank >= counts[i - 1])
        word = jnp.where(beyond, board[i], word)
        rank = jnp.where(beyond, rank - counts[i - 1], rank)
        index = jnp.where(beyond, jnp.uint32(i), index)
    return index * WORD + _select_in_word(word, rank)


def single(cell: UInt32[Array, " B"], words: int) -> Board:
    """The set that holds one cell."""
    bit = jnp.uint32(1) << (cell % WORD)
    return [jnp.where(cell // WORD == i, bit, jnp.uint32(0)) for i in range(words)]


def single_stacked(cell: UInt32[Array, " B"], words: int) -> UInt32[Array, "W B"]:
    """``single`` as one array, for arrays of boards that a kernel updates word by word."""
    index = jnp.arange(words, dtype=jnp.uint32)[:, None]
    return jnp.where(index == cell // WORD, jnp.uint32(1) << (cell % WORD), jnp.uint32(0))


def contains(board: Board, cell: UInt32[Array, " B"]) -> UInt32[Array, " B"]:
    """1 where the set holds the cell, else 0."""
    word = board[0]
    for i in range(1, len(board)):
        word = jnp.where(cell // WORD == i, board[i], word)
    return (word >> (cell % WORD)) & 1
