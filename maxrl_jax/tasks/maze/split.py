"""Which mazes are trained on and which are held out: a split by content.

Held-out mazes are a finite table; training mazes are a stream from which every maze of the table is rejected. So no
held-out maze is ever trained on, however few mazes there are of a size, and whatever the seeds of the two.
A maze is known by a 64-bit Zobrist hash of its walls. Two mazes with equal hashes would be rejected together (one
in 2^64 a pair), which costs a training maze and never lets a held-out one through.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, UInt32

from maxrl_jax.tasks.maze import generator, tokens

HELD_OUT_SHARE = 3  # at most one maze in so many of a size is held out
_BLOCK = 1024  # mazes drawn at a time for the table


@functools.cache
def count_mazes(size: int) -> int:
    """How many mazes of a size there are: 4, 192, 100,352, .. for sizes 5, 7, 9, ..

    They are the spanning trees of the m x m grid graph, m = (size - 1) / 2, and every one has positive probability
    under randomised Prim. Kirchhoff's theorem: the determinant of the Laplacian without one row and column, here by
    fraction-free elimination over the integers (Bareiss), exact at any size.
    """
    m = tokens.cells_per_side(size)
    one = np.eye(m, dtype=int)
    beside = np.eye(m, k=1, dtype=int) + np.eye(m, k=-1, dtype=int)
    path = np.diag(beside.sum(0)) - beside  # the Laplacian of a path, and of the grid, their product
    matrix = (np.kron(path, one) + np.kron(one, path))[1:, 1:].astype(object)
    previous = 1
    # No pivoting: principal minors of the Laplacian of a connected graph count forests, so none is 0.
    while len(matrix) > 1:
        pivot, rest = matrix[0, 0], matrix[1:, 1:]
        matrix, previous = (rest * pivot - np.outer(matrix[1:, 0], matrix[0, 1:])) // previous, pivot
    return matrix[0, 0]


def max_held_out(size: int) -> int:
    """The most mazes that may be held out: a third of those of this size (1 at 5 x 5, 64 at 7 x 7, 33,450 at 9 x 9).

    Beyond 17 x 17 it is the third of 1.3e26 that it is there: more than any table, and quick to count.
    """
    tokens.check_size(size)
    return count_mazes(min(size, 17)) // HELD_OUT_SHARE


def cap_held_out(num_mazes: int, size: int) -> tuple[int, str]:
    """How many mazes to hold out when ``num_mazes`` are asked for, and a message, empty when it is all of them."""
    most = max_held_out(size)
    if num_mazes <= most:
        return num_mazes, ""
    return most, (
        f"{num_mazes:,} held-out mazes asked for, {most:,} kept: there are only {count_mazes(size):,} mazes of size "
        f"{size} and at least two thirds of them stay in training"
    )


def hash_walls(walls: Bool[Array, "*batch n n"]) -> UInt32[Array, "*batch 2"]:
    """Zobrist hash of each maze: the exclusive or of a fixed random 64-bit number for every wall, as two words."""
    squares = walls.shape[-1] * walls.shape[-2]
    numbers = _mix64(np.arange(1, squares + 1, dtype=np.uint64))
    words = np.stack([numbers >> np.uint64(32), numbers & np.uint64(0xFFFFFFFF)]).astype(np.uint32)
    present = walls.reshape(*walls.shape[:-2], 1, squares)
    return lax.reduce_xor(jnp.where(present, words, jnp.uint32(0)), axes=(present.ndim - 1,))


def _mix64(index: np.ndarray) -> np.ndarray:
    """SplitMix64 (Steele et al. 2014): a fixed sequence, the same with every version of every library."""
    with np.errstate(over="ignore"):
        z = index * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class HeldOut:
    """A table of held-out mazes; a pytree, so that it can be an argument of a jitted step.

    Attributes:
        mazes: the H distinct mazes, in the order in which they were drawn.
        hashes: their hashes in ascending order.
        longest_run: the most of these hashes that share a first word (1 or 2 in practice).
    """

    mazes: generator.Mazes
    hashes: UInt32[Array, "H 2"]
    longest_run: int = dataclasses.field(metadata={"static": True})


def hold_out(key: Array, num_mazes: int, size: int) -> HeldOut:
    """Draws distinct mazes to hold out (on the host, before training).

    Mazes are drawn one after the other by randomised Prim and repeated ones left out, so a smaller table with the
    same key is a prefix of a larger one. Frequent mazes come first: a table of a third of all 7 x 7 mazes holds
    about 0.6 of what Prim draws (0.85 at 9 x 9), and training sees the rest of the distribution.

    Args:
        key: consumed.
        num_mazes: H, 1 .. max_held_out(size).
        size: of the mazes.

    Raises:
        ValueError: for more mazes than may be held out (``cap_held_out`` gives the number that may).
    """
    if not 1 <= num_mazes <= max_held_out(size):
        raise ValueError(
            f"held-out mazes: got {num_mazes}, allowed: 1 .. {max_held_out(size)} at maze size {size} "
            f"(a third of the {count_mazes(size):,} that there are)"
        )
    # In blocks of a fixed length, so that the mazes drawn do not depend on how many are asked for.
    blocks: list[generator.Mazes] = []
    first_seen: dict[bytes, int] = {}
    while len(first_seen) < num_mazes:
        blocks.append(generator.generate(jax.random.fold_in(key, len(blocks)), _BLOCK, size))
        for row, walls in enumerate(np.asarray(blocks[-1].walls)):
            first_seen.setdefault(walls.tobytes(), (len(blocks) - 1) * _BLOCK + row)
    drawn = np.fromiter(first_seen.values(), np.int64)[:num_mazes]
    return from_mazes(jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[drawn], *blocks))


def from_mazes(mazes: generator.Mazes) -> HeldOut:
    """The table of given mazes (of a data set of one's own, say)."""
    hashes = np.asarray(hash_walls(mazes.walls))
    hashes = hashes[np.lexsort((hashes[:, 1], hashes[:, 0]))]
    longest_run = int(np.unique(hashes[:, 0], return_counts=True)[1].max())
    return HeldOut(mazes, jnp.asarray(hashes), longest_run)


def is_held_out(walls: Bool[Array, "B n n"], held_out: HeldOut) -> Bool[Array, " B"]:
    """Whether each maze is in the table: a binary search for the first word, then every entry that shares it."""
    first, second = hash_walls(walls).T
    table_first, table_second = held_out.hashes.T
    place = jnp.searchsorted(table_first, first)
    found = jnp.zeros(first.shape, bool)
    for offset in range(held_out.longest_run):
        entry = jnp.minimum(place + offset, len(table_first) - 1)
        found |= (table_first[entry] == first) & (table_second[entry] == second)
    return found


@functools.partial(jax.jit, static_argnames="size")
def sample_training_from_keys(keys: Array, size: int, held_out: HeldOut) -> generator.Mazes:
    """Training mazes: randomised Prim given that the maze is not held out (exactly, by rejection), one for each key.

    Attempt a at maze i uses ``fold_in(keys[i], a)``. The loop ends when every maze has passed: after one round
    unless mazes are so few that held-out ones turn up. At least two thirds of all mazes pass, so it does end.
    """

    def attempt(state):
        number, rejected, kept = state
        again = generator.generate_from_keys(jax.vmap(jax.random.fold_in, (0, None))(keys, number), size)

        def choose(new, old):
            return jnp.where(rejected.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        kept = jax.tree.map(choose, again, kept)
        return number + 1, rejected & is_held_out(kept.walls, held_out), kept

    shapes = jax.eval_shape(functools.partial(generator.generate_from_keys, size=size), keys)
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    state = jnp.int32(0), jnp.ones(keys.shape[0], bool), nothing
    return lax.while_loop(lambda state: jnp.any(state[1]), attempt, state)[2]
