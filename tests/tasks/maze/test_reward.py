"""The graded reward against its definition walked square by square in plain Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import reward, tokens, verifier
from tests.tasks.maze import plain

DONE, SIZE = 7, 9
quality = jax.jit(lambda walls, answers: maze.rewards(walls, answers, "path_quality"))


@pytest.fixture(scope="module")
def mazes():
    return jax.device_get(maze.generate(jax.random.key(3), 40, SIZE))


def answers_of_every_kind(mazes, rng):
    """Prefixes of solutions, detours, random walks in the open, malformed ones: [B, 8, T]."""
    length = 2 * tokens.longest_solution(SIZE)
    rows = []
    for walls, solution, moves in zip(mazes.walls.tolist(), mazes.solution.tolist(), mazes.num_moves, strict=True):
        path = solution[:moves]
        back = {13: 14, 14: 13, 15: 16, 16: 15}
        detour = [path[0], back[path[0]], *path]
        answers = [path, path[: rng.integers(0, moves)], detour, [*path, back[path[-1]]], walk(walls, rng, 12)]
        rows.append([[*answer, DONE] for answer in answers])
        rows[-1] += [path, [path[0], 3, *path[1:], DONE], [back[path[0]], *path, DONE]]  # no DONE, no move, a wall
    return np.array([[answer + [0] * (length - len(answer)) for answer in row] for row in rows])


def walk(walls, rng, moves):
    """A random walk that meets no wall."""
    row, column, taken = 1, 1, []
    for _ in range(moves):
        move = rng.choice([m for m, (r, c) in plain.STEPS.items() if not walls[row + r][column + c]])
        row, column = row + plain.STEPS[move][0], column + plain.STEPS[move][1]
        taken.append(int(move))
    return taken


def test_it_is_its_definition(mazes):
    answers = answers_of_every_kind(mazes, np.random.default_rng(0))
    found = np.asarray(quality(mazes.walls, answers))
    pairs = zip(mazes.walls.tolist(), answers.tolist(), strict=True)
    expected = [[plain.path_quality(walls, answer) for answer in row] for walls, row in pairs]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(np.unique(np.round(found, 4))) > 10  # graded indeed


def test_exact_is_its_definition(mazes):
    answers = answers_of_every_kind(mazes, np.random.default_rng(5))
    found = np.asarray(maze.rewards(mazes.walls, answers, "exact"))
    pairs = zip(mazes.walls.tolist(), answers.tolist(), strict=True)
    np.testing.assert_array_equal(found, [[plain.exact(walls, answer) for answer in row] for walls, row in pairs])
    assert found[:, [0, 2]].all() and not found[:, 3].any()  # paths and detours, but not with a move after the goal


@pytest.mark.parametrize("size", [5, 9])
def test_distances_are_those_of_a_search(size):
    walls = np.asarray(maze.generate(jax.random.key(4), 5, size).walls)
    board, stride = verifier.frame(walls)
    found = np.asarray(jax.jit(reward.distances, static_argnums=1)(board, stride))
    for row, one in zip(found, walls.tolist(), strict=True):
        for r in range(1, size - 1):
            for c in range(1, size - 1):
                if not one[r][c]:
                    assert row[(r + 1) * stride + c] == len(plain.shortest_path(one, (r, c))[0])


def test_a_goal_out_of_reach_is_worth_nothing():
    walls = np.zeros((1, 5, 5), bool)
    walls[0, 2:, 2:] = True
    walls[0, 3, 3] = False
    answers = jnp.array([[[DONE, 0, 0], [14, DONE, 0], [16, 14, DONE]]])
    assert quality(walls, answers).tolist() == [[0.0, 0.0, 0.0]]
