"""Figures of the maze experiment, drawn from the committed runs."""

import json

import numpy as np
import pytest

from experiments.figures.policies import final, sft
from experiments.figures.registry import Context, Skipped
from experiments.results import policy_runs
from experiments.results.groups import Mixed
from tests.experiments.lm.small import ROOT


def figure_3(folder):
    return final.maxrl_fig3(Context(runs=(ROOT / "results" / folder / "runs",))).data


def made_up(folder, method, prompts, rollouts, solved, size=9, samples=4):
    """A run folder with so many samples of each maze; `solved` are the successes by step."""
    folder.mkdir(parents=True)
    advantage = {"name": method, "k": None, "order": None}
    rl = {"advantage": advantage, "entropy_coef": 0.0, "num_prompts": prompts, "num_rollouts": rollouts}
    maze = {"size": size, "training_set": 0}
    config = {
        "task": "maze",
        "seed": 0,
        "maze": maze,
        "rl": rl,
        "eval": {"num_samples": samples, "num_mazes": 4, "seed": 0},
    }
    (folder / "config.json").write_text(json.dumps(config))
    lines = [json.dumps({"step": step, "eval/solved": counts}) + "\n" for step, counts in solved.items()]
    (folder / "metrics.jsonl").write_text("".join(lines))


def value(data, k, source, method):
    (found,) = data[(data.k == k) & (data.source == source) & (data.method == method)].value
    return found


def test_figure_3_has_no_finite_point_where_nothing_was_solved(tmp_path):
    solved = {0: [1, 1] + [0] * 62, 50: [0] * 64}
    for method in ("maxrl", "grpo"):
        made_up(tmp_path / "runs" / method, method, 8, 32, solved, size=17, samples=128)
    data = figure_3(tmp_path)
    for k in (1, 128):
        assert np.isinf(value(data, k, "ours", "maxrl")) and np.isinf(value(data, k, "ours", "grpo"))
    assert value(data, 1, "ours", "base") == pytest.approx(np.log(8192 / 2))  # two right among 64 x 128
    assert value(data, 128, "ours", "base") == pytest.approx(np.log(64 / 2))  # of two mazes
    assert (value(data, 1, "published", "base"), value(data, 128, "published", "base")) == (4.5, 0.7)


def test_figure_3_is_the_mean_over_seeds_of_minus_log_pass_at_k():
    data = figure_3("maze_9")
    runs = [r for r in policy_runs.find((ROOT / "results/maze_9/runs",)) if r.method == "maxrl"]
    solved = np.array([r.evaluations[max(r.evaluations)]["solved"] for r in runs])
    assert len({r.config["seed"] for r in runs}) == len(runs) == 3
    assert value(data, 1, "ours", "maxrl") == pytest.approx(np.mean(-np.log(solved.mean(axis=1) / 256)), rel=1e-5)
    assert value(data, 256, "ours", "maxrl") == pytest.approx(np.mean(-np.log((solved > 0).mean(axis=1))), rel=1e-5)
    assert not (data.source == "published").any()  # of another size


def test_figure_3_has_fixed_prompts_and_fixed_rollouts_at_the_last_common_step(tmp_path):
    made_up(tmp_path / "a", "maxrl", 8, 4, {0: [1, 0], 5: [2, 2], 10: [4, 4]})
    made_up(tmp_path / "b", "maxrl", 8, 8, {0: [1, 0], 5: [4, 2]})
    made_up(tmp_path / "c", "maxrl", 2, 16, {0: [1, 0], 5: [1, 1]})
    drawing = final.maxrl_fig3(Context(runs=(tmp_path,)))
    assert [ax.get_title() for ax in drawing.fig.axes[::2]] == ["8 prompts a step", "32 rollouts a step"]
    ours = drawing.data[(drawing.data.method == "maxrl") & (drawing.data.k == 1)]
    assert set(drawing.data.step) == {5}
    found = {(row.fixed, row.rollouts): row.value for row in ours.itertuples()}
    assert found == pytest.approx({
        ("8 prompts", 4): np.log(2), ("8 prompts", 8): np.log(4 / 3),
        ("32 rollouts", 4): np.log(2), ("32 rollouts", 16): np.log(4),
    })  # fmt: skip
    made_up(tmp_path / "d", "grpo", 3, 4, {0: [1, 0], 5: [1, 1]})
    with pytest.raises(Skipped, match="3 x 4 rollouts a step"):
        final.maxrl_fig3(Context(runs=(tmp_path,)))


def test_figure_3_needs_a_step_that_all_runs_have(tmp_path):
    made_up(tmp_path / "a", "maxrl", 8, 4, {10: [4, 4]})
    made_up(tmp_path / "b", "maxrl", 8, 8, {5: [4, 2]})
    with pytest.raises(Mixed, match="no step"):
        final.maxrl_fig3(Context(runs=(tmp_path,)))


def test_sft_curve_is_over_the_problems_seen_of_runs_evaluated_during_sft(tmp_path):
    for name, batch, evaluated in (("a", 8, True), ("b", 32, True), ("only_loss", 8, False)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"sft": {"batch_size": batch}}))
        lines = [{"step": i, "sft/loss": 4.0 - i} for i in range(3)]
        if evaluated:
            lines += [{"step": 0, "sft/pass@1": 0.0}, {"step": 3, "sft/pass@1": 0.25}]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    data = sft.sft_curve(Context(runs=(tmp_path,))).data
    points = {name: list(zip(rows.problems, rows.value, strict=True)) for name, rows in data.groupby(["run", "metric"])}
    assert points == {
        ("a", "loss"): [(0, 4), (8, 3), (16, 2)], ("a", "pass@1"): [(0, 0), (24, 0.25)],
        ("b", "loss"): [(0, 4), (32, 3), (64, 2)], ("b", "pass@1"): [(0, 0), (96, 0.25)],
    }  # fmt: skip
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "metrics.jsonl").write_text(json.dumps({"step": 0, "sft/pass@1": 0.0}) + "\n")
    for runs in (tmp_path / "begun",), (tmp_path / "only_loss",):
        with pytest.raises(Skipped, match="eval_every_steps"):
            sft.sft_curve(Context(runs=runs))
