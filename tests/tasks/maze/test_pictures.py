"""Pictures say what the verifier says, and draw the path that was walked."""

import io

import jax
import numpy as np
import pytest

from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import pictures


@pytest.fixture(scope="module")
def corridor():
    walls = np.ones((5, 5), bool)
    walls[1, 1:4] = walls[1:4, 3] = walls[1:4, 1] = False
    return walls


R, D, DONE, EOS, PAD = 16, 14, 7, 2, 0


@pytest.mark.parametrize(
    ("answer", "caption", "end"),
    [
        ([R, R, D, D, DONE, EOS], "solved in 4 moves", (3, 3)),
        ([R, R, D, D, R, DONE], "solved in 4 moves (5 written)", (3, 3)),
        ([R, D, R, D, DONE, EOS], "wall at move 2", (1.5, 2)),
        ([R, R, D, DONE, EOS, PAD], "short after 3 moves", (2, 3)),
        ([R, R, D, PAD, DONE, PAD], "not a move after 3 moves", (2, 3)),
        ([R, D, R, EOS, PAD, PAD], "no DONE after 3 moves", (1.5, 2)),
        ([DONE, EOS, PAD, PAD, PAD, PAD], "short after 0 moves", (1, 1)),
    ],
)
def test_an_answer_is_drawn_up_to_where_it_ends(corridor, answer, caption, end):
    picture = pictures.figure(corridor, {"": np.array(answer)})
    ax = picture.axes[0]
    assert ax.get_title() == caption
    lines = {line.get_color(): line for line in ax.get_lines() if len(line.get_xdata()) > 1}
    solved = caption.startswith("solved")
    crosses = [line for line in ax.get_lines() if line.get_marker() == "X"]
    assert len(crosses) == (not solved)
    path = lines.get(pictures.RIGHT if solved else pictures.FAILED)
    if path is not None:
        assert (path.get_ydata()[0], path.get_xdata()[0]) == (1, 1)
        assert (path.get_ydata()[-1], path.get_xdata()[-1]) == end
    for cross in crosses:
        assert (cross.get_ydata()[0], cross.get_xdata()[0]) == end


def test_the_figure_shows_both_outcomes_and_the_solution():
    mazes = maze.generate(jax.random.key(0), 64, 9)
    right = np.asarray(mazes.solution[0])
    failed = right.copy()
    failed[int(mazes.num_moves[0]) - 3 :] = DONE
    picture = pictures.figure(mazes.walls[0], {"a": right, "b": failed}, solution=right)
    assert [ax.get_title().split(":")[0] for ax in picture.axes] == ["a", "b"]
    labels = [text.get_text() for text in picture.legends[0].get_texts()]
    assert labels == ["start", "goal", "right path", "failed path", "solution"]
    dotted = [[line.get_color() for line in ax.get_lines()].count(pictures.SOLUTION) for ax in picture.axes]
    assert dotted == [0, 1]
    file = io.BytesIO()
    picture.savefig(file, format="png")
    assert file.getvalue()[:4] == b"\x89PNG"
