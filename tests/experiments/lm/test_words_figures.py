"""Figures and tables of the word problems, from small made-up run folders."""

import json
import re

import numpy as np
import pytest

from experiments.figures import __main__ as figures
from experiments.figures.policies import final, overview, tables, training
from experiments.figures.registry import Context
from experiments.results import policy_runs
from experiments.results.groups import Mixed

STEPS, EVERY = 24, 8  # 4 problems a step of a set of 16: an epoch is 4 steps
SAMPLES = 4


def run(folder, method, seed, solved, *, task="words", entropy=0.0, steps=STEPS):
    """A run with the successes of each held-out problem at each evaluation; all_fail falls by 1/32 a step from 1."""
    folder.mkdir(parents=True)
    config = {
        "seed": seed,
        "task": task,
        "words": {"num_problems": 16},
        "rl": {"advantage": {"name": method, "k": None}, "entropy_coef": entropy, "num_rollouts": 8, "num_prompts": 4},
        "eval": {"num_samples": SAMPLES},
    }
    lines = [
        {
            "step": s,
            "train/all_fail": 1 - s / 32,
            "train/entropy": 0.5,
            "train/answer_length": 9.0 + method.count("x"),
            "train/reward_mean": s / 16,
        }
        for s in range(steps)
    ]
    lines += [
        {"step": EVERY * i, "eval/solved": counts, f"eval/majority@{SAMPLES}": float(np.mean(np.array(counts) > 2))}
        for i, counts in enumerate(solved)
    ]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def runs(tmp_path):
    """MaxRL of two seeds, GRPO of one, also with an entropy bonus; evaluated at epochs 0, 2, 4."""
    folder = tmp_path / "words"
    run(folder / "maxrl-seed0", "maxrl", 0, [[1, 0], [2, 1], [3, 1]])
    run(folder / "maxrl-seed1", "maxrl", 1, [[1, 1], [2, 2], [4, 3]])
    run(folder / "grpo-seed0", "grpo", 0, [[1, 0], [4, 0], [4, 0]])
    run(folder / "grpo_entropy-seed0", "grpo", 0, [[1, 0], [1, 0], [2, 0]], entropy=0.01)
    return Context(runs=(folder,))


def points(data, **where):
    for name, value in where.items():
        data = data[data[name] == value]
    return data


def test_figure_4_is_over_epochs_with_the_mean_of_the_bases(runs):
    data = training.maxrl_fig4(runs).data
    maxrl = points(data, metric="pass@1", method="maxrl")
    assert list(maxrl.epoch) == [0, 2, 4]
    np.testing.assert_allclose(maxrl["mean"], [(1 / 8 + 2 / 8) / 2, (3 / 8 + 4 / 8) / 2, (4 / 8 + 7 / 8) / 2])
    np.testing.assert_allclose(maxrl.standard_error.iloc[-1], (7 / 8 - 4 / 8) / 2)  # of two: half their difference
    assert points(data, metric="pass@1", method="grpo").standard_error.isna().all()
    # pass@4 of 4 samples: solved at all; of the base one of two problems in seed 0, both in seed 1, counted once each.
    assert points(data, metric="pass@4", method="base")["mean"].item() == pytest.approx(3 / 4)
    assert points(data, metric="pass@4", method="base").runs.item() == 2


def test_curves_and_tables_end_where_the_shortest_run_does(runs):
    run(runs.runs[0] / "maxrl-seed2", "maxrl", 2, [[4, 4], [4, 4]])
    data = training.maxrl_fig4(runs).data
    maxrl = points(data, metric="pass@1", method="maxrl")
    np.testing.assert_allclose(maxrl["mean"], [(3 / 8 + 1) / 3, (7 / 8 + 1) / 3])
    assert list(maxrl.runs) == [3, 3] and data.epoch.max() == 2
    table = tables.maxrl_table4(runs).data.set_index("method")
    assert list(table.rl_steps) == [0, 8, 8, 8] and table["pass@1"]["maxrl"] == pytest.approx((7 / 8 + 1) / 3)


def test_runs_that_differ_in_more_than_their_seed_are_lines_of_their_own(runs):
    changed = runs.runs[0] / "maxrl-seed1" / "config.json"
    changed.write_text(changed.read_text().replace('"num_rollouts": 8', '"num_rollouts": 32'))
    data = training.maxrl_fig4(runs).data
    assert list(dict.fromkeys(data.method))[:2] == ["maxrl, num_rollouts=8", "maxrl, num_rollouts=32"]
    assert points(data, method="maxrl, num_rollouts=8").standard_error.isna().all()
    (runs.runs[0] / "other").mkdir()
    for name in ("config.json", "metrics.jsonl"):  # the same seed again, longer: another setting of the same point
        text = (runs.runs[0] / "maxrl-seed0" / name).read_text()
        (runs.runs[0] / "other" / name).write_text(text.replace('"seed": 0', '"seed": 0, "sft": {"steps": 9}'))
    with pytest.raises(Mixed, match=r"other and maxrl-seed0 would be one point, and differ in sft\.steps"):
        final.maxrl_efficiency(runs)


def test_figure_12_averages_the_share_of_prompts_with_a_success_over_an_epoch(runs):
    data = points(training.maxrl_fig12(runs).data, method="maxrl")
    np.testing.assert_allclose(data["mean"].iloc[:2], [1.5 / 32, 5.5 / 32])  # steps 0 to 3, 4 to 7
    assert list(data.step[:2]) == [3, 7]


def test_a_run_shorter_than_an_epoch_is_not_averaged(tmp_path):
    run(tmp_path / "a", "maxrl", 0, [[1, 0]], steps=2)
    assert list(training.maxrl_fig12(Context(runs=(tmp_path,))).data["mean"]) == [0, 1 / 32]


def test_table_4_has_the_bases_once_a_seed_and_the_vote(runs):
    drawing = tables.maxrl_table4(runs)
    table = drawing.data.set_index("method")
    assert list(table.index) == ["base", "maxrl", "grpo", "grpo_entropy"]
    assert list(table.runs) == [2, 2, 1, 1] and list(table.rl_steps) == [0, 16, 16, 16]
    np.testing.assert_allclose(table["pass@1"], [3 / 16, 11 / 16, 1 / 2, 1 / 4])
    np.testing.assert_allclose(table["pass@4"], [3 / 4, 1, 1 / 2, 1 / 2])
    np.testing.assert_allclose(table["majority"], [0, 3 / 4, 1 / 2, 0])
    *_, maxrl, _, entropy = (re.sub(" +", " ", line).strip() for line in drawing.text.splitlines())
    assert maxrl == "MaxRL 2 16 0.688 ± 0.187 1.000 ± 0.000 0.750 ± 0.250"
    assert entropy == "GRPO + entropy 1 16 0.250 0.500 0.000"  # one seed has no error


def test_the_efficiency_is_of_runs_of_one_seed(runs):
    data = final.maxrl_efficiency(runs).data
    grpo = points(data, method="grpo")
    # Seed 0: GRPO has 1/2 with any number of tries; MaxRL [3, 1] of 4 has (3/4 + 1/4) / 2 = 1/2 with one.
    assert list(grpo.k) == [1, 2, 4]
    np.testing.assert_allclose(grpo.factor, [1, 2, 4])
    assert set(grpo.pairs) == {1}


def test_the_overview_is_over_epochs_and_tries(runs):
    fig = overview.words_overview(runs).fig
    first, second, last = fig.axes
    assert first.get_xlabel() == second.get_xlabel() == "epochs of the training set"
    assert second.get_title() == "solved with 4 tries"
    lines = {line.get_label(): line for line in last.lines}
    np.testing.assert_allclose(lines["MaxRL"].get_ydata()[[0, -1]], [11 / 16, 1])
    np.testing.assert_allclose(lines["Base"].get_ydata()[[0, -1]], [3 / 16, 3 / 4])


def test_a_real_models_overview_is_over_steps_of_its_own_task(runs):
    run(runs.runs[0] / "gym", "grpo", 0, [[1, 0], [4, 2]], task="reasoning_gym")
    fig = overview.model_overview(Context(runs=(runs.runs[0] / "gym",))).fig
    reward, length, last = fig.axes
    assert reward.get_xlabel() == length.get_xlabel() == "RL step"
    drawn = reward.lines[0].get_ydata()
    np.testing.assert_allclose(drawn, np.arange(len(drawn)) / 16)
    lines = {line.get_label(): line for line in last.lines}
    np.testing.assert_allclose(lines["Base"].get_ydata()[[0, -1]], [1 / 8, 1 / 2])
    np.testing.assert_allclose(lines["GRPO"].get_ydata()[[0, -1]], [3 / 4, 1])


def test_one_task_is_drawn_and_the_others_are_named(runs, capsys):
    run(runs.runs[0] / "zz", "maxrl", 0, [[4, 4], [4, 4]], task="my.module:task")
    data = tables.maxrl_table3(runs).data
    assert data.runs.max() == 2
    assert "of 2 tasks in --runs words is drawn, not my.module:task" in capsys.readouterr().err
    assert [r.training_set for r in policy_runs.find(runs.runs)][-2:] == [16, 0]


def test_the_command_prints_the_table_and_skips_what_needs_other_runs(runs, tmp_path, capsys):
    arguments = ["--figure=maxrl_table4,maze_overview", f"--out={tmp_path / 'out'}", f"--runs={runs.runs[0]}"]
    assert figures.main(arguments) == 2
    said = capsys.readouterr()
    assert "0.750 ± 0.250" in said.out
    assert "maze_overview: skipped, no run of mazes, evaluated before and after RL" in said.err
    assert (tmp_path / "out/maxrl_table4.csv").is_file()
