"""Every maze is a spanning tree with its shortest path, and a function of its key alone."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import tokens
from tests.tasks.maze import plain


# 17 is the published size. At 13 and 35 a row of cells crosses the border of a word; 65 has 32 words a maze.
@pytest.mark.parametrize(("size", "num_mazes"), [(5, 40), (7, 40), (13, 40), (17, 40), (35, 4), (65, 2)])
def test_mazes_are_perfect_and_solutions_shortest(size, num_mazes):
    mazes = maze.generate(jax.random.key(size), num_mazes, size)
    longest = maze.longest_solution(size)
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
    picked = maze.generate_from_keys(maze.maze_keys(key, 64)[jnp.array([40, 3])], 9)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[jnp.array([40, 3])], b), many, picked)


def test_it_runs_inside_jit_and_does_not_compile_twice():
    traces = []

    @jax.jit
    def walls(key):
        traces.append(1)
        return maze.generate(key, 8, 7).walls

    for seed in range(3):
        expected = maze.generate(jax.random.key(seed), 8, 7).walls
        np.testing.assert_array_equal(walls(jax.random.key(seed)), expected)
    assert len(traces) == 1


_SHARDED = """
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from maxrl_jax.tasks import maze
assert jax.device_count() == 8
keys = maze.maze_keys(jax.random.key(0), 32)
alone = maze.generate_from_keys(keys, 9)
sharding = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data"))
shared = maze.generate_from_keys(jax.device_put(keys, sharding), 9)
assert len(shared.walls.sharding.device_set) == 8, shared.walls.sharding
assert shared.walls.addressable_shards[0].data.shape == (4, 9, 9)
jax.tree.map(np.testing.assert_array_equal, alone, shared)
"""


def test_eight_devices_make_the_mazes_of_one():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", _SHARDED], env=environment, check=True, timeout=120)


@pytest.mark.parametrize("size", [4, 16, 3, 1, -5, 9.0, "9"])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match=rf"got {size!r}, allowed: odd integers >= 5"):
        maze.generate(jax.random.key(0), 2, size)


def test_no_mazes_are_refused():
    with pytest.raises(ValueError, match="num_mazes: got 0, allowed: integers >= 1"):
        maze.generate(jax.random.key(0), 0, 5)
