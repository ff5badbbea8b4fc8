"""Tokens, prompts, and lengths that follow from the size."""

import jax
import numpy as np
import pytest

from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import tokens
from tests.tasks.maze import plain


@pytest.mark.parametrize(("size", "length"), [(7, 60), (17, 310)])
def test_prompts_equal_a_plain_encoder(size, length):
    walls = maze.generate(jax.random.key(0), 40, size).walls
    prompts = maze.encode_prompt(walls)
    assert prompts.shape == (40, length)
    assert prompts.dtype == np.int32
    assert maze.prompt_length(size) == length
    assert prompts.tolist() == [plain.encode(one) for one in np.asarray(walls).tolist()]
    np.testing.assert_array_equal(maze.encode_prompt(walls[3]), prompts[3])


def test_ids_are_the_official_ones():
    assert tokens.VOCABULARY_SIZE == 32
    assert {name: tokens.NAMES.index(name) for name in tokens.NAMES} == {
        "<pad>": 0, "<bos>": 1, "<eos>": 2, "<unk>": 3, "GRID_START": 4, "GRID_END": 5, "PATH_START": 6, "DONE": 7,
        "PATH": 8, "WALL": 9, "GOAL": 10, "START": 11, "NEWLINE": 12, "UP": 13, "DOWN": 14, "LEFT": 15, "RIGHT": 16,
    }  # fmt: skip
    for name in tokens.NAMES[4:]:
        assert getattr(tokens, name) == tokens.NAMES.index(name)


def longest_by_search(m):
    """Edges of the longest simple path between opposite corners of m x m cells, by trying all."""
    best = 0
    stack = [((0, 0), frozenset([(0, 0)]))]
    while stack:
        (i, j), seen = stack.pop()
        if (i, j) == (m - 1, m - 1):
            best = max(best, len(seen) - 1)
            continue
        for following in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            if 0 <= following[0] < m and 0 <= following[1] < m and following not in seen:
                stack.append((following, seen | {following}))
    return best


@pytest.mark.parametrize("size", [5, 7, 9, 11])
def test_longest_solution_equals_a_search(size):
    assert tokens.longest_solution(size) == 2 * longest_by_search((size - 1) // 2)


def test_answer_lengths():
    assert tokens.longest_solution(17) == 124
    assert maze.answer_length(17) == 180
    assert maze.answer_length(9) == 2 * 28
    assert maze.answer_length(15) == 2 * 96
    assert maze.answer_length(17, positions=470) == 470 - 310
    # 19 x 19: a prompt of 384 and up to 160 moves and DONE.
    with pytest.raises(ValueError, match="positions: got 512, allowed: at least 545 at maze size 19"):
        maze.answer_length(19)
    assert maze.answer_length(19, positions=545) == 161
    maze.check_answer_length(9, 29)
    with pytest.raises(ValueError, match="answer length: got 28, allowed: at least 29 at maze size 9"):
        maze.check_answer_length(9, 28)


def test_texts_for_people():
    walls = np.ones((5, 5), bool)
    walls[1, 1:4] = walls[2, 3] = walls[3, 3] = walls[3, 1] = walls[2, 1] = False
    answer = np.array([16, 16, 14, 14, 7, 2, 0])
    assert maze.arrows(answer) == "→→↓↓ DONE"
    assert maze.arrows([16, 0, 14]) == "→ <pad> ↓"
    assert tokens.positions(answer) == [(1, 1), (1, 2), (1, 3), (2, 3), (3, 3)]
    assert maze.decode([1, 4, 12, 31]) == "<bos> GRID_START NEWLINE\n<unused 31>"
    assert maze.draw(walls, answer) == "#####\n#S..#\n# #.#\n# #G#\n#####"
    assert maze.draw(walls).count(".") == 0
