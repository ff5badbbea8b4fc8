"""A curriculum: mazes that grow inside one frame, and after it the mazes that there would have been without it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import curriculum, tokens
from maxrl_jax.tasks.maze import task as maze_task


@pytest.mark.parametrize(("steps", "size"), [(12, 13), (10, 17), (2, 13), (7, 9)])
def test_stages_share_the_steps_and_end_with_them(steps, size):
    stages = curriculum.stages(size)
    found = [int(curriculum.stage_at(step, steps, size)) for step in range(steps + 3)]
    assert found == [min(step * len(stages) // steps, len(stages)) for step in range(steps + 3)]
    assert (stages[0], stages[-1]) == (7, size - 2)


def test_a_maze_that_cannot_grow_is_refused():
    with pytest.raises(ValueError, match="curriculum: got 7, allowed: odd integers > 7"):
        curriculum.stages(7)


@pytest.mark.parametrize(("size", "frame"), [(7, 13), (11, 13), (5, 5)])
def test_a_framed_maze_is_the_small_one_behind_walls(size, frame):
    keys = maze.maze_keys(jax.random.key(1), 16)
    mazes = curriculum.framed(keys, size, frame)
    prompts = maze.encode_prompt(mazes.walls, goal=size - 2)
    alone = maze.generate_from_keys(keys, size)
    length = alone.solution.shape[1]
    np.testing.assert_array_equal(mazes.walls[:, :size, :size], alone.walls)
    assert mazes.walls[:, size:].all() and mazes.walls[:, :, size:].all()
    np.testing.assert_array_equal(mazes.solution[:, :length], alone.solution)
    assert (mazes.solution[:, length:] == tokens.PAD).all()
    assert mazes.solution.shape[1] == tokens.longest_solution(frame) + 2
    # Each square has the token and the place that it has in a full-sized maze, and the goal is the small maze's.
    squares = np.asarray(prompts)[:, 2:-2].reshape(16, frame, frame + 1)
    np.testing.assert_array_equal(squares[:, :, :-1] == tokens.WALL, mazes.walls)
    assert np.argwhere(squares[0] == tokens.START).tolist() == [[1, 1]]
    for row, solution in zip(squares, np.asarray(mazes.solution), strict=True):
        *before, end = maze.positions(solution)
        assert np.argwhere(row == tokens.GOAL).tolist() == [list(end)]
        assert all(row[square] in (tokens.START, tokens.PATH) for square in before)


def test_only_the_first_steps_of_sft_change():
    settings = {"seed": 3, "size": 11, "num_held_out": 8}
    plain, grown = maze_task.make(**settings), maze_task.make(**settings, curriculum_steps=4)
    ids = jnp.arange(6)

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def batch(prompts, phase, step):
        return prompts(phase, step, ids, 6)

    def drawn(task, phase, step):
        return batch(task.prompts, phase, step)

    for phase, step in (("sft", 4), ("sft", 90), ("rl", 0)):
        jax.tree.map(np.testing.assert_array_equal, drawn(grown, phase, step), drawn(plain, phase, step))
    for step, size in enumerate((7, 7, 9, 9)):
        prompts = drawn(grown, "sft", step)
        assert not prompts.state.walls[:, size - 2, size - 2].any() and prompts.state.walls[:, size:].all()
        goals = prompts.tokens[:, 2:-2].reshape(6, 11, 12)[:, size - 2, size - 2]
        assert (goals == tokens.GOAL).all() and (prompts.tokens == tokens.GOAL).sum() == 6
        assert jax.tree.map(jnp.shape, prompts) == jax.tree.map(jnp.shape, drawn(plain, "sft", step))
    part = grown.prompts("sft", 2, ids[2:5], 6)
    jax.tree.map(np.testing.assert_array_equal, part, drawn(grown, "sft", 2).at(slice(2, 5)))
