"""No held-out maze is ever trained on, and nothing else changes the training distribution."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import generator, split
from tests.tasks.maze import plain


def contents(walls):
    return [one.tobytes() for one in np.asarray(walls)]


def sample(key, num_mazes, held_out):
    return split.sample_training_from_keys(generator.maze_keys(key, num_mazes), 7, held_out)


@pytest.fixture(scope="module")
def small():
    """As many 7 x 7 mazes held out as may be: 64 of 192."""
    return maze.hold_out(jax.random.key(0), 64, 7)


def test_counts_of_mazes():
    for size, count in ((5, 4), (7, 192), (9, 100_352), (11, 557_568_000)):
        assert maze.count_mazes(size) == count
    assert f"{maze.count_mazes(17):.2g}" == "1.3e+26"
    # Kirchhoff's count against all sets of gates that join all cells of a 3 x 3 grid.
    assert maze.count_mazes(7) == len(plain.prim_law(7))


def test_caps_with_a_message():
    assert [split.max_held_out(size) for size in (5, 7, 9)] == [1, 64, 33_450]
    assert split.max_held_out(65) == split.max_held_out(17) > 10**25
    assert split.cap_held_out(64, 7) == (64, "")
    number, message = split.cap_held_out(256, 7)
    assert number == 64
    assert message.startswith("256 held-out mazes asked for, 64 kept: there are only 192 mazes of size 7")
    for number in (0, 65):
        with pytest.raises(ValueError, match=rf"held-out mazes: got {number}, allowed: 1 \.\. 64 at maze size 7"):
            maze.hold_out(jax.random.key(0), number, 7)


def test_held_out_mazes_are_distinct_and_a_smaller_table_is_a_prefix(small):
    held = contents(small.mazes.walls)
    assert len(set(held)) == len(held) == 64
    fewer = maze.hold_out(jax.random.key(0), 20, 7)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[:20], b), small.mazes, fewer.mazes)
    other = maze.hold_out(jax.random.key(1), 64, 7)
    assert contents(other.mazes.walls) != held
    assert jax.jit(maze.verify)(small.mazes.walls, small.mazes.solution[:, None]).min() == 1


def test_no_held_out_maze_in_training_and_the_rest_as_prim_makes_them(small):
    # 100,000 mazes against Prim's exact law given that the maze is not held out; false-alarm rate 1e-4.
    held = set(contents(small.mazes.walls))
    mazes = sample(jax.random.key(1), 100_000, small)
    counts = collections.Counter(contents(mazes.walls))
    assert not held & set(counts)
    free = maze.generate(jax.random.key(1), 1_024, 7)
    assert held & set(contents(free.walls)), "the rejection is not put to the test"

    law = {b"".join(map(bytes, plain.walls_of(gates, 7))): float(mass) for gates, mass in plain.prim_law(7).items()}
    law = {walls: mass for walls, mass in law.items() if walls not in held}
    expected = np.array(list(law.values())) / sum(law.values()) * 100_000
    assert stats.chisquare([counts[walls] for walls in law], expected).pvalue > 1e-4
    some = slice(0, 200)
    rewards = jax.jit(maze.verify)(mazes.walls[some], mazes.solution[some, None])
    assert rewards.min() == 1, "walls and solutions of different attempts were mixed"


def test_a_training_maze_is_a_function_of_its_key_alone(small):
    key = jax.random.key(2)
    many = sample(key, 64, small)
    few = sample(key, 7, small)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[:7], b), many, few)
    picked = split.sample_training_from_keys(generator.maze_keys(key, 64)[jnp.array([50, 6])], 7, small)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[jnp.array([50, 6])], b), many, picked)
    other = sample(jax.random.key(3), 64, small)
    assert contents(other.walls) != contents(many.walls)


def test_membership_is_exact_at_any_place_of_the_table():
    mazes = maze.generate(jax.random.key(4), 40, 17)
    part = jax.tree.map(lambda leaf: leaf[:25], mazes)
    table = split.from_mazes(part)
    assert maze.is_held_out(mazes.walls, table).tolist() == [True] * 25 + [False] * 15
    # One open square more or less is another maze.
    changed = part.walls.at[:, 2, 2].set(False)
    assert not maze.is_held_out(changed, table).any()


def test_hashes_that_share_a_first_word_are_told_apart(monkeypatch):
    mazes = maze.generate(jax.random.key(5), 64, 9)
    real = split.hash_walls

    def poor(walls):
        words = real(walls)
        return words.at[..., 0].set(words[..., 0] % 3)

    monkeypatch.setattr(split, "hash_walls", poor)
    distinct = {content: i for i, content in enumerate(contents(mazes.walls))}
    chosen = np.array(sorted(distinct.values()))
    inside, outside = chosen[:30], chosen[30:]
    table = split.from_mazes(jax.tree.map(lambda leaf: leaf[inside], mazes))
    assert table.longest_run > 5
    assert split.is_held_out(mazes.walls[inside], table).all()
    assert not split.is_held_out(mazes.walls[outside], table).any()


def test_hashes_are_distinct_and_every_bit_of_them_is_used():
    walls = maze.generate(jax.random.key(6), 20_000, 17).walls
    hashes = np.asarray(split.hash_walls(walls))
    assert hashes.shape == (20_000, 2)
    assert hashes.dtype == np.uint32
    assert len(np.unique(hashes, axis=0)) == len(set(contents(walls))) == 20_000
    bits = hashes[..., None] >> np.arange(32, dtype=np.uint32) & 1
    # Each of 64 bits is set in half of the mazes: 6 standard deviations of a fair coin, false alarms below 1e-6.
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 6 * 0.5 / np.sqrt(20_000)
    # The hash is part of what makes a run reproducible: it must not change.
    border = jnp.zeros((5, 5), bool).at[0, 0].set(True)
    assert split.hash_walls(border).tolist() == [0xE220A839, 0x7B1DCDAF]
