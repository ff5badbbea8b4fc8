"""The demo's table, text and figure from run folders; the whole of it at a small size in the slow tests."""

import numpy as np
import pandas as pd
import pytest

from experiments.figures.policies import overview
from experiments.lm.tasks import maze_pictures as pictures
from experiments.maze import demo
from experiments.results import policy_runs
from maxrl_jax.runs.folder.metric_writer import read_metrics
from maxrl_jax.tasks import maze
from tests.experiments.lm.small import SMALL

TINY = demo.SMALL.replace(":small", ":tiny")
LONG = {"eval.num_samples": 32, "eval.num_mazes": 4}


def record(folder, method, solved):
    """A run of 32 samples a maze, with the successes of each maze before and after RL."""
    lines = [
        {"step": step, "eval/solved": counts, "eval/coverage": np.mean(np.array(counts) > 0)}
        for step, counts in zip((0, 10), solved, strict=True)
    ]
    config = {
        "seed": 0,
        "task": "maze",
        "maze": {"size": 5, "training_set": 0},
        "rl": {"advantage": {"name": method, "k": None}, "entropy_coef": 0.0, "num_rollouts": 4, "num_prompts": 4},
        "eval": {"num_samples": 32, "num_mazes": 1, "seed": 0},
    }
    return policy_runs.Record(folder, method, config, {}, lines)


@pytest.fixture
def found(finished):
    return [
        record(finished, "maxrl", ([1, 0, 0], [16, 8, 1])),
        record(finished, "grpo", ([1, 0, 0], [24, 0, 0])),
        record(finished, "rloo", ([1, 0, 0], [8, 8, 0])),
    ]


def test_summary_has_the_blind_guess_the_base_and_every_method(found):
    table = demo.summary(found).set_index("method")
    assert list(table.index) == ["blind", "base", "maxrl", "grpo", "rloo"]
    np.testing.assert_allclose(table["pass@1"], [1 / 2, *(np.array([1, 25, 24, 16]) / 96)])  # 5 x 5 has two ways
    np.testing.assert_allclose(table["pass@32"], [1, 1 / 3, 1, 1 / 3, 2 / 3])
    assert list(table.rl_steps) == [0, 0, 10, 10, 10] and set(table.mazes) == {3}


def test_reading_has_the_numbers(found):
    table = demo.summary(found)
    text = demo.reading(table, SMALL["maze.size"])
    assert "One try solved 0.010 of the mazes before RL, and after it: MaxRL 0.260, GRPO 0.250, RLOO 0.167; a" in text
    assert "32 tries solved 0.333 of the mazes before RL, and after it: MaxRL 1.000, GRPO 0.333, RLOO 0.667; a" in text
    assert "a walker that sees no wall solves 0.500." in text and "a walker that sees no wall solves 1.000." in text
    assert f"{maze.count_mazes(SMALL['maze.size']):,} mazes" in text


def test_the_figure_shows_curves_and_a_maze(found, capsys):
    fig = overview.mazes(found).fig
    lines = {line.get_label(): line.get_ydata() for line in fig.axes[0].lines}
    np.testing.assert_allclose(lines["GRPO"], [1 / 96, 24 / 96])
    assert [ax.get_title() for ax in fig.axes[:2]] == ["solved with 1 try", "solved with 32 tries"]
    over_k = {line.get_label(): line.get_ydata() for line in fig.axes[2].lines}
    np.testing.assert_allclose(over_k["MaxRL"][[0, -1]], [25 / 96, 1])
    np.testing.assert_allclose(over_k["Base"][[0, -1]], [1 / 96, 1 / 3])
    assert fig.axes[3].images and "MaxRL" in fig.axes[3].get_title()
    demo.show(demo.summary(found))
    assert "0.667" in capsys.readouterr().out


def test_a_right_and_a_failed_answer_are_of_one_maze():
    solved = maze.REASONS.index("solved")
    failed = next(i for i in range(len(maze.REASONS)) if i != solved)
    reason = np.array([[failed, failed], [failed, solved], [solved, solved]])
    answers = np.arange(3 * 2 * 4).reshape(3, 2, 4) + 1
    row, (right, wrong) = pictures.right_and_failed({"reason": reason, "answers": answers})
    assert row == 1
    np.testing.assert_array_equal(right, answers[1, 1])
    np.testing.assert_array_equal(wrong, answers[1, 0])
    row, only = pictures.right_and_failed({"reason": reason[:1], "answers": answers[:1]})
    assert row == 0 and len(only) == 1


@pytest.mark.slow
def test_the_demo_runs_from_end_to_end_and_again(tmp_path):
    overrides = [f"--config.{field}={value}" for field, value in {**SMALL, **LONG}.items()]
    table = demo.run(tmp_path, overrides, TINY)
    assert (tmp_path / "demo.png").stat().st_size > 10_000
    assert list(table.method) == ["blind", "base", *demo.METHODS]
    # All methods start from the one SFT checkpoint: the same evaluation before RL.
    first = [next(line for line in read_metrics(tmp_path / m) if "eval/solved" in line) for m in demo.METHODS]
    assert first[0]["eval/solved"] == first[1]["eval/solved"] == first[2]["eval/solved"]
    before = {m: _trained(tmp_path / m) for m in demo.METHODS}
    pd.testing.assert_frame_equal(demo.run(tmp_path, overrides, TINY), table)
    assert {m: _trained(tmp_path / m) for m in demo.METHODS} == before


def _trained(folder):
    return [line for line in (folder / "metrics.jsonl").read_text().splitlines() if "train/" in line]
