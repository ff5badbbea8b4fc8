"""The pass@k of a blind walker, which knows where the goal is and sees no wall: the floor of every maze result.

It takes one of the monotone ways (moves right and down alone) at random. There are C(2m, m) of them between opposite
corners of m + 1 by m + 1 cells, m = (n - 3) / 2, and at most one of them leads to the goal, since a maze has one
solution: pass@k = share (1 - (1 - 1/ways)^k), share being that of the mazes with a monotone solution.
"""

import functools
import math

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray

from maxrl_jax import keys
from maxrl_jax.tasks.maze import generator, split


def ways(size: int) -> int:
    """Monotone ways through a maze of size x size squares."""
    return math.comb(size - 3, (size - 3) // 2)


def is_monotone(num_moves: ArrayLike, size: int) -> NDArray[np.bool_]:
    """Whether solutions of so many moves (`Mazes.num_moves`) are monotone, which is to have as few as can be."""
    return np.asarray(num_moves) == 2 * (size - 3)


def share(size: int, num_mazes: int = 10_000, seed: int = 0) -> float:
    """The estimated share of mazes of a size with a monotone solution."""
    return float(is_monotone(generator.generate(jax.random.key(seed), num_mazes, size).num_moves, size).mean())


@functools.cache
def held_out_share(size: int, num_mazes: int, seed: int) -> float:
    """The share among the held-out mazes of a run: `maze.size`, `eval.num_mazes` and `eval.seed` of its config."""
    held_out = split.hold_out(keys.stream(seed, "held_out"), split.cap_held_out(num_mazes, size)[0], size)
    return float(is_monotone(held_out.mazes.num_moves, size).mean())


def pass_at_k(share: float, size: int, k: ArrayLike) -> NDArray[np.float64]:
    """The blind walker's pass@k on mazes of which a share has a monotone solution.

    Example:
        >>> pass_at_k(0.95, 9, [1, 32]).round(3).tolist()
        [0.048, 0.766]
    """
    return -share * np.expm1(np.asarray(k) * np.log1p(-1 / ways(size)))
