"""Mazes as a task: what is held out stays out, a fixed set comes again in every epoch, and a share is a share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import task as maze_task


def make(**settings):
    return maze_task.make(**{"seed": 5, "size": 7, "num_held_out": 64, **settings})


def walls_of(prompts):
    return [walls.tobytes() for walls in np.asarray(prompts.state.walls)]


def test_the_contract_holds_for_every_reward():
    for reward, kind in {"solved": "binary", "exact": "binary", "path_quality": "unit"}.items():
        task = make(reward=reward, length=24)
        task.check(8)
        assert task.rewards == kind and task.answer_length == 24
    with pytest.raises(ValueError, match="maze reward: got 'short'"):
        make(reward="short")


def test_a_fixed_set_is_the_same_in_every_epoch_and_has_no_held_out_maze():
    task = make(training_set=20)
    draw = jax.jit(lambda step: task.prompts("rl", step, jnp.arange(8), 8))
    held_out = set(walls_of(task.held_out))
    seen = [walls for step in range(10) for walls in walls_of(draw(step))]  # four epochs
    assert not held_out & set(seen)
    epochs = [set(seen[20 * epoch : 20 * (epoch + 1)]) for epoch in range(4)]
    assert epochs[0] == epochs[1] == epochs[2] == epochs[3]
    assert 10 < len(epochs[0]) <= 20  # of 128 mazes some are drawn twice
    larger = make(training_set=40)
    assert epochs[0] <= set(walls_of(larger.prompts("rl", 0, jnp.arange(40), 40)))


@pytest.mark.parametrize("training_set", [0, 20])
def test_a_devices_share_is_its_part_of_the_batch(training_set):
    task = make(training_set=training_set)
    whole = walls_of(task.prompts("rl", 3, jnp.arange(8), 8))
    assert whole[2:5] == walls_of(task.prompts("rl", 3, jnp.arange(2, 5), 8))


def test_phases_and_steps_see_other_mazes():
    task = make()
    batches = [task.prompts(phase, step, jnp.arange(8), 8) for phase, step in (("rl", 0), ("rl", 1), ("sft", 0))]
    assert len({tuple(walls_of(batch)) for batch in batches}) == 3


def test_solutions_are_judged_shortest():
    task = make()
    prompts = task.held_out
    verdict = jax.jit(task.judge)(prompts.state, prompts.solutions[:, None])
    assert verdict.solved.all() and verdict.measures["shortest"].all() and (verdict.rewards == 1).all()
    assert maze.decode(prompts.tokens[0]).startswith("<bos> GRID_START")


def test_overruns_are_counted_where_they_earn_the_reward():
    goes_on = jnp.array(
        [[[16, 16, 14, 14, 13, 7], [14, 14, 16, 16, 15, 7]]]
    )  # one of them is a path of every 5 x 5 maze
    for reward in ("solved", "exact"):
        task = make(size=5, num_held_out=1, reward=reward)
        verdict = jax.jit(task.judge)(task.held_out.state, goes_on)
        reasons = {task.reasons[code] for code in verdict.reasons[0].tolist()}
        if reward == "solved":
            assert "solved" in reasons and verdict.measures["overrun"].any()
        else:
            assert "overrun" in reasons and "overrun" not in verdict.measures and not verdict.solved.any()
