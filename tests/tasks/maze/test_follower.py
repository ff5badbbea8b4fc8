"""The way of a wall follower, against a walk by hand, and what SFT is given of it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import follower, tokens, verifier
from maxrl_jax.tasks.maze import task as maze_task


def by_hand(walls):
    """Turns right as often as it can, in steps of one square at a time and with a heading that is turned."""
    square, heading, moves = np.array([1, 1]), np.array([0, 1]), []
    goal = np.array([len(walls) - 2] * 2)
    while (square != goal).any():
        heading = np.array([heading[1], -heading[0]])  # rows grow downwards: right of right is down
        while walls[tuple(square + heading)]:
            heading = np.array([-heading[1], heading[0]])
        square = square + 2 * heading
        moves += [{step: move for move, step in tokens.DISPLACEMENTS.items()}[tuple(heading.tolist())]] * 2
    return [*moves, tokens.DONE, tokens.EOS]


@pytest.mark.parametrize("size", [9, 17])
def test_the_way_is_that_of_one_hand_on_the_wall(size):
    mazes = maze.generate(jax.random.key(2), 32, size)
    ways = np.asarray(jax.jit(follower.walk, static_argnums=1)(mazes.walls, 4 * size * size))
    for walls, way in zip(np.asarray(mazes.walls), ways, strict=True):
        wanted = by_hand(walls)
        assert way[: len(wanted)].tolist() == wanted
        assert (way[len(wanted) :] == tokens.PAD).all()
    assert (verifier.judge(mazes.walls, jnp.asarray(ways)[:, None]).reason == 0).all()


def test_a_way_that_is_cut_off_has_no_end():
    mazes = maze.generate(jax.random.key(3), 16, 11)
    whole, cut = follower.walk(mazes.walls, 200), follower.walk(mazes.walls, 20)
    np.testing.assert_array_equal(cut, whole[:, :20])
    assert (whole == tokens.DONE).sum() == 16 > (cut == tokens.DONE).sum()
    with pytest.raises(ValueError, match="got 21, allowed: even"):
        follower.walk(mazes.walls, 21)


def test_only_what_sft_imitates_changes():
    settings = {"seed": 3, "size": 11, "num_held_out": 8}
    plain, walker = maze_task.make(**settings), maze_task.make(**settings, imitated="wall_follower")
    ids = jnp.arange(6)

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def drawn(prompts, phase, step):
        return prompts(phase, step, ids, 6)

    jax.tree.map(np.testing.assert_array_equal, drawn(walker.prompts, "rl", 4), drawn(plain.prompts, "rl", 4))
    found, same = drawn(walker.prompts, "sft", 4), drawn(plain.prompts, "sft", 4)
    np.testing.assert_array_equal(found.tokens, same.tokens)
    np.testing.assert_array_equal(found.solutions, follower.walk(same.state.walls, same.solutions.shape[1]))
    assert (found.solutions != same.solutions).any()
    with pytest.raises(ValueError, match="got 'walker', allowed: solution, wall_follower"):
        maze_task.make(**settings, imitated="walker")
