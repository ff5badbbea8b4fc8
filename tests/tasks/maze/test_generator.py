"""Every maze is a spanning tree with its shortest path, and a function of its key alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import generator, tokens
from tests.tasks.maze import plain


# 17 is the published size. At 13 a row of cells crosses the border of a word; 65 has 32 words a maze.
@pytest.mark.parametrize(("size", "num_mazes"), [(5, 40), (13, 40), (17, 40), (65, 2)])
def test_mazes_are_perfect_and_solutions_shortest(size, num_mazes):
    mazes = maze.generate(jax.random.key(size), num_mazes, size)
    longest = tokens.longest_solution(size)
    assert mazes.walls.shape == (num_mazes, size, size)
    assert mazes.walls.dtype == bool
    assert mazes.solution.shape == (num_mazes, longest + 2)
    assert mazes.solution.dtype == mazes.num_moves.dtype == jnp.int32
    walls = np.asarray(mazes.walls)
    for border in (walls[:, 0], walls[:, -1], walls[:, :, 0], walls[:, :, -1], walls[:, 2::2, 2::2]):
        assert border.all()
    assert not walls[:, 1::2, 1::2].any()
    cells = ((size - 1) // 2) ** 2
    # Squares between cells lie at odd row + column; cells - 1 of them are open and every open square is reached.
    for one, solution, num_moves in zip(walls.tolist(), mazes.solution.tolist(), mazes.num_moves, strict=True):
        path, reached = plain.shortest_path(one)
        assert len(plain.gates(one)) == cells - 1
        assert reached == 2 * cells - 1
        assert solution == path + [tokens.DONE, tokens.EOS] + [tokens.PAD] * (longest - len(path))
        assert num_moves == len(path)


def test_the_same_key_gives_the_same_mazes_and_another_key_others():
    first = maze.generate(jax.random.key(0), 64, 9)
    again = maze.generate(jax.random.key(0), 64, 9)
    other = maze.generate(jax.random.key(1), 64, 9)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    same = np.asarray(first.walls == other.walls).all(axis=(1, 2))
    assert same.sum() <= 2  # 64 pairs of 9 x 9 mazes; two of a kind are rare
    assert len({one.tobytes() for one in np.asarray(first.walls)}) > 60


def test_a_maze_does_not_depend_on_its_batch():
    key = jax.random.key(2)
    many = maze.generate(key, 64, 9)
    few = maze.generate(key, 5, 9)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[:5], b), many, few)
    picked = generator.generate_from_keys(generator.maze_keys(key, 64)[jnp.array([40, 3])], 9)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[jnp.array([40, 3])], b), many, picked)


@pytest.mark.parametrize("size", [4, 16, 3, 1, -5, 9.0, "9"])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match=rf"got {size!r}, allowed: odd integers >= 5"):
        maze.generate(jax.random.key(0), 2, size)
