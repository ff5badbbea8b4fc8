"""Rewards and reasons agree with a judge that follows the definition token by token."""

import collections
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import reward, verifier
from tests.tasks.maze import plain

LENGTH = 40
judge, verify = jax.jit(maze.judge), jax.jit(maze.verify)


@jax.jit
def shortest(walls, answers, num_moves):
    return verifier.shortest(maze.judge(walls, answers), num_moves)


def grids(size):
    """Perfect mazes, and grids with random walls, also on the goal and not on all of the border."""
    perfect = np.asarray(maze.generate(jax.random.key(0), 64, size).walls)
    rng = np.random.default_rng(0)
    return np.concatenate([perfect, rng.random((64, size, size)) < rng.random((64, 1, 1)) * 0.6])


def random_answer(walls, rng):
    """Solutions, damaged solutions, walks and arbitrary tokens, ended rightly and wrongly."""
    size = len(walls)
    border = (0, size - 1)
    closed = [[wall or r in border or c in border for c, wall in enumerate(row)] for r, row in enumerate(walls)]
    try:
        path = plain.shortest_path(closed)[0]
    except KeyError:
        path = [16, 14] * (size - 3)
    kind = rng.randrange(6)
    if kind == 1:
        path = path[: rng.randrange(len(path) + 1)]
    elif kind == 2:
        path[rng.randrange(len(path))] = rng.randrange(32)
    elif kind == 3:
        path = rng.choices((13, 14, 15, 16), k=rng.randrange(12))
    elif kind == 4:
        path = rng.choices(range(32), k=rng.randrange(12))
    elif kind == 5:
        path += rng.choices((13, 14, 15, 16), k=rng.randrange(8))
    path += rng.choice(([7, 2], [7], [2], [2, 7], [], [0, 7], [7, 7]))
    padding = rng.choice((0, 0, 2, rng.randrange(32), -1, 40))
    return (path + [padding] * LENGTH)[:LENGTH]


def test_thousands_of_answers_agree_with_the_plain_judge():
    rng = random.Random(0)
    walls = grids(9)
    answers = [[random_answer(one, rng) for _ in range(50)] for one in walls.tolist()]
    expected = [[plain.judge(one, answer) for answer in row] for one, row in zip(walls.tolist(), answers, strict=True)]
    counts = collections.Counter(reason for row in expected for reason in row)
    assert set(counts) == set(maze.REASONS[: verifier.OVERRUN])
    assert min(counts.values()) >= 50, counts
    got = judge(walls, jnp.array(answers))
    assert [[maze.REASONS[reason] for reason in row] for row in got.reason.tolist()] == expected
    rewards = verify(walls, jnp.array(answers))
    assert rewards.dtype == jnp.float32
    np.testing.assert_array_equal(rewards, [[float(reason == "solved") for reason in row] for row in expected])


@pytest.fixture
def corridor():
    """5 x 5: open along the top and the right; moves right right down down."""
    walls = np.ones((1, 5, 5), bool)
    walls[0, 1, 1:4] = walls[0, 1:4, 3] = walls[0, 1:4, 1] = False
    return walls


R, D, U, DONE, EOS, PAD = 16, 14, 13, 7, 2, 0


@pytest.mark.parametrize(
    ("answer", "reason", "num_moves", "num_steps"),
    [
        ([R, R, D, D, DONE, EOS, PAD], "solved", 4, 4),
        ([R, R, D, D, U, U, DONE], "solved", 6, 4),  # early, then back
        ([R, R, D, D, D, D, DONE], "solved", 6, 4),  # early, then through the wall and off the grid
        ([R, R, D, D, EOS, PAD, PAD], "no DONE", 4, 4),
        ([R, R, D, D, EOS, DONE, PAD], "not a move", 4, 4),
        ([R, R, D, D, PAD, DONE, PAD], "not a move", 4, 4),
        ([PAD, R, R, D, D, DONE, PAD], "not a move", 0, 0),
        ([R, R, D, DONE, D, DONE, PAD], "short", 3, 3),
        ([DONE, R, R, D, D, DONE, PAD], "short", 0, 0),
        ([R, D, R, D, DONE, PAD, PAD], "wall", 4, 2),
        ([R, D, U, R, D, D, DONE], "wall", 6, 2),  # a step into a wall is not undone
        ([R, R, D, D, U, 99, -1], "no DONE", 5, 4),
        ([R, R, D, D, D, D, D], "no DONE", 7, 4),
    ],
)
def test_single_rules(corridor, answer, reason, num_moves, num_steps):
    verdict = judge(corridor, jnp.array([[answer]]))
    assert maze.REASONS[verdict.reason[0, 0]] == reason
    assert (verdict.num_moves[0, 0], verdict.num_steps[0, 0]) == (num_moves, num_steps)


@pytest.mark.parametrize(
    ("answer", "exact"),
    [
        ([R, R, D, D, DONE, EOS, PAD], 1),  # stops on the goal
        ([R, R, D, D, U, D, DONE], 0),  # passes through the goal and returns
        ([R, 15, R, R, D, D, DONE], 1),  # a detour before the goal is no overrun
    ],
)
def test_an_answer_that_overruns_is_right_by_the_published_rule_alone(corridor, answer, exact):
    answers = jnp.array([[answer]])
    assert maze.rewards(corridor, answers).tolist() == [[1]]
    assert maze.rewards(corridor, answers, "exact").tolist() == [[exact]]
    assert verifier.overrun(judge(corridor, answers)).tolist() == [[exact == 0]]
    verdict, _ = reward.judged(corridor, answers, "exact")
    assert maze.REASONS[verdict.reason[0, 0]] == ("solved" if exact else "overrun")


def test_true_solutions_are_solved_and_shortest():
    mazes = maze.generate(jax.random.key(1), 64, 9)
    right = mazes.solution[:, None]
    detour = jnp.concatenate([jnp.zeros((64, 1, 2), jnp.int32), right], axis=-1)
    # A first step and back: into the open neighbour of the start.
    down = ~mazes.walls[:, 2, 1]
    detour = detour.at[:, 0, 0].set(jnp.where(down, 14, 16)).at[:, 0, 1].set(jnp.where(down, 13, 15))
    early = jnp.where(right == DONE, D, right)  # at the goal in time, one more move, and only then DONE
    early = jnp.where(right == EOS, DONE, early)
    for answers, is_shortest in ((right, True), (detour, False), (early, False)):
        assert verify(mazes.walls, answers).tolist() == [[1.0]] * 64
        assert shortest(mazes.walls, answers, mazes.num_moves).tolist() == [[is_shortest]] * 64
    wrong = right.at[:, 0, 0].set(15)
    assert verify(mazes.walls, wrong).tolist() == [[0.0]] * 64
    assert shortest(mazes.walls, wrong, mazes.num_moves).tolist() == [[False]] * 64


def test_shapes_and_dtypes_that_do_not_fit_are_refused(corridor):
    with pytest.raises(ValueError, match=r"walls: got shape \(5, 5\)"):
        maze.verify(corridor[0], jnp.zeros((1, 1, 3), jnp.int32))
    with pytest.raises(ValueError, match=r"answers: got shape \(2, 1, 3\), allowed: \[1, N, T\]"):
        maze.verify(corridor, jnp.zeros((2, 1, 3), jnp.int32))
    with pytest.raises(ValueError, match="got dtype float32, allowed: an integer"):
        maze.verify(corridor, jnp.zeros((1, 1, 3)))
