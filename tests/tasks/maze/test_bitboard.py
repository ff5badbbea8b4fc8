"""Bit sets agree with Python's sets and integers."""

import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax.tasks.maze import bitboard


def to_board(sets, m):
    words = bitboard.num_words(m)
    numbers = [sum(1 << cell for cell in cells) for cells in sets]
    return [jnp.array([(number >> (32 * i)) & 0xFFFFFFFF for number in numbers], jnp.uint32) for i in range(words)]


def to_sets(board, m):
    columns = np.stack([np.asarray(word) for word in board], axis=1)
    bits = [sum(int(word) << (32 * i) for i, word in enumerate(row)) for row in columns]
    assert all(number >> (m * m) == 0 for number in bits), "a bit beyond the last cell is set"
    return [{cell for cell in range(m * m) if number >> cell & 1} for number in bits]


@pytest.mark.parametrize("m", [2, 17])
def test_neighbours_are_the_cells_one_move_away(m):
    rng = random.Random(m)
    sets = [{cell for cell in range(m * m) if rng.random() < share} for share in (0.0, 0.05, 0.5, 1.0)]
    reached = jax.jit(lambda board: bitboard.neighbours(board, m))(to_board(sets, m))
    for board, (rows, columns) in zip(reached, ((-1, 0), (1, 0), (0, -1), (0, 1)), strict=True):
        expected = []
        for cells in sets:
            moved = [(cell // m + rows, cell % m + columns) for cell in cells]
            expected.append({i * m + j for i, j in moved if 0 <= i < m and 0 <= j < m})
        assert to_sets(board, m) == expected


def test_select_finds_every_cell_by_its_rank():
    """A wrong one would never finish a maze."""
    m, rng = 17, random.Random(17)
    cells = sorted(rng.sample(range(m * m), m * m // 2))
    board = to_board([cells] * len(cells), m)
    ranks = jnp.arange(len(cells), dtype=jnp.uint32)
    found = jax.jit(lambda board, ranks: bitboard.select(board, bitboard.count(board), ranks))(board, ranks)
    assert found.tolist() == cells
    contains = jax.jit(bitboard.contains)
    assert contains(board, found).tolist() == [1] * len(cells)
    assert contains([jnp.zeros_like(word) for word in board], found).tolist() == [0] * len(cells)
    single = jax.jit(bitboard.single, static_argnums=1)(found, len(board))
    assert to_sets(single, m) == [{cell} for cell in cells]
    np.testing.assert_array_equal(bitboard.single_stacked(found, len(board)), np.stack(single))
