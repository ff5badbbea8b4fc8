"""A finite training set of mazes: the same mazes in every epoch, none of them held out."""

import jax
import numpy as np
import pytest

from maxrl_jax.tasks import maze


@pytest.fixture(scope="module")
def held_out():
    return maze.hold_out(jax.random.key(0), 64, 7)


def test_the_set_is_the_same_in_every_epoch_and_has_no_held_out_maze(held_out):
    draw = jax.jit(lambda step: maze.sample_finite(jax.random.key(5), step, 8, 7, held_out, 20))
    is_held_out = jax.jit(maze.is_held_out)
    seen = {}
    for step in range(10):  # four epochs
        mazes, indices = draw(step)
        assert not is_held_out(mazes.walls, held_out).any()
        for index, walls in zip(indices.tolist(), np.asarray(mazes.walls), strict=True):
            assert seen.setdefault(index, walls.tobytes()) == walls.tobytes()
    assert sorted(seen) == list(range(20))
    assert len(set(seen.values())) > 10
    larger, indices = maze.sample_finite(jax.random.key(5), 0, 40, 7, held_out, 40)
    for index, walls in zip(indices.tolist(), np.asarray(larger.walls), strict=True):
        assert index >= 20 or seen[index] == walls.tobytes(), "a smaller set is not the head of a larger one"
