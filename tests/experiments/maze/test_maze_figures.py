"""Figures of the maze experiment, drawn from the committed runs."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from experiments.figures.policies import final
from experiments.figures.registry import Context
from experiments.results import policy_runs
from tests.experiments.maze.small import ROOT


@pytest.fixture
def figure_3():
    drawn = []

    def draw(folder):
        drawn.append(final.maxrl_fig3(Context(runs=(ROOT / "results" / folder / "runs",))))
        return drawn[-1].data

    yield draw
    for drawing in drawn:
        plt.close(drawing.fig)


def value(data, k, source, method):
    (found,) = data[(data.k == k) & (data.source == source) & (data.method == method)].value
    return found


def test_figure_3_has_no_finite_point_where_nothing_was_solved(figure_3):
    data = figure_3("maze_17")
    for k in (1, 128):
        assert np.isinf(value(data, k, "ours", "maxrl")) and np.isinf(value(data, k, "ours", "grpo"))
    assert value(data, 1, "ours", "base") == pytest.approx(np.log(8192 / 2))  # two right among 64 x 128
    assert value(data, 128, "ours", "base") == pytest.approx(np.log(64 / 2))  # of two mazes
    assert (value(data, 1, "published", "base"), value(data, 128, "published", "base")) == (4.5, 0.7)


def test_figure_3_is_the_mean_over_seeds_of_minus_log_pass_at_k(figure_3):
    data = figure_3("maze_9")
    runs = [r for r in policy_runs.find((ROOT / "results/maze_9/runs",)) if r.method == "maxrl"]
    solved = np.array([r.evaluations[max(r.evaluations)]["solved"] for r in runs])
    assert len({r.config["seed"] for r in runs}) == len(runs) == 3
    assert value(data, 1, "ours", "maxrl") == pytest.approx(np.mean(-np.log(solved.mean(axis=1) / 256)), rel=1e-5)
    assert value(data, 256, "ours", "maxrl") == pytest.approx(np.mean(-np.log((solved > 0).mean(axis=1))), rel=1e-5)
    assert not (data.source == "published").any()  # of another size
