"""Figures and tables of policies, from small made-up run folders."""

import json
import re

import numpy as np
import pytest

from experiments.figures import __main__ as figures
from experiments.figures import maze_ladder
from experiments.figures.policies import final, overview, sets, sft, tables, training
from experiments.figures.registry import Context, Skipped
from experiments.lm.counts import SUMMARY
from experiments.results.groups import Mixed

SAMPLES = 4
WORDS = {"task": "words", "words": {"num_problems": 16}}


def run(folder, method, seed, evaluations, train=(), *, rl=(), samples=SAMPLES, advantage=(), **config):
    """A run folder; evaluations: by step the successes of each prompt, or all metrics."""
    folder.mkdir(parents=True)
    own = {"name": method, "k": None, "order": None, **dict(advantage)}
    rl = {"advantage": own, "entropy_coef": 0.0, "num_rollouts": 8, "num_prompts": 4, **dict(rl)}
    settings = {"task": "maze", "maze": {"size": 9, "training_set": 0}, "model": {"init_from": ""}}
    settings |= {"eval": {"num_samples": samples, "num_mazes": 4, "seed": 0}, "seed": seed, "rl": rl, **config}
    (folder / "config.json").write_text(json.dumps(settings))
    lines = list(train)
    for step, found in evaluations.items():
        found = found if isinstance(found, dict) else {"eval/solved": found}
        lines.append(
            {"step": step, f"eval/majority@{samples}": float(np.mean(np.array(found["eval/solved"]) > 2)), **found}
        )
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def on_words(folder, method, seed, solved, *, steps=24, entropy=0.0, **config):
    """Evaluated every 8 steps; 4 problems a step of a set of 16: an epoch is 4 steps; all_fail falls by 1/32 a step."""
    names = (
        "train/all_fail",
        "train/entropy",
        "train/answer_length",
        "train/reward_mean",
        "train/cumulative_solve_rate",
    )
    lines = [{"step": s, **dict(zip(names, (1 - s / 32, 0.5, 9.0, s / 16, s / 24), strict=True))} for s in range(steps)]
    found = {8 * i: counts for i, counts in enumerate(solved)}
    return run(folder, method, seed, found, lines, rl={"entropy_coef": entropy, "steps": 24}, **{**WORDS, **config})


@pytest.fixture
def runs(tmp_path):
    """MaxRL of two seeds, GRPO of one, also with an entropy bonus; evaluated at epochs 0, 2, 4."""
    folder = tmp_path / "words"
    on_words(folder / "maxrl-seed0", "maxrl", 0, [[1, 0], [2, 1], [3, 1]])
    on_words(folder / "maxrl-seed1", "maxrl", 1, [[1, 1], [2, 2], [4, 3]])
    on_words(folder / "grpo-seed0", "grpo", 0, [[1, 0], [4, 0], [4, 0]])
    on_words(folder / "grpo_entropy-seed0", "grpo", 0, [[1, 0], [1, 0], [2, 0]], entropy=0.01)
    return Context(runs=(folder,))


def points(data, **where):
    for name, value in where.items():
        data = data[data[name] == value]
    return data


def end(fig, panel, label):
    """First and last value of a line."""
    (line,) = [line for line in fig.axes[panel].lines if line.get_label() == label]
    return np.asarray(line.get_ydata())[[0, -1]]


def test_figure_4_is_over_epochs_with_the_mean_of_the_bases(runs):
    data = training.maxrl_fig4(runs).data
    maxrl = points(data, metric="pass@1", method="maxrl")
    assert list(maxrl.epoch) == [0, 2, 4]
    np.testing.assert_allclose(maxrl["mean"], [(1 / 8 + 2 / 8) / 2, (3 / 8 + 4 / 8) / 2, (4 / 8 + 7 / 8) / 2])
    np.testing.assert_allclose(maxrl.standard_error.iloc[-1], (7 / 8 - 4 / 8) / 2)  # of two: half their difference
    assert points(data, metric="pass@1", method="grpo").standard_error.isna().all()
    # pass@4 of 4 samples: solved at all; of the base one of two problems in seed 0, both in seed 1, counted once each.
    base = points(data, metric="pass@4", method="base")
    assert (base["mean"].item(), base.runs.item()) == (pytest.approx(3 / 4), 2)


def test_curves_and_tables_end_where_the_shortest_run_does(runs):
    on_words(runs.runs[0] / "maxrl-seed2", "maxrl", 2, [[4, 4], [4, 4]])
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
        (runs.runs[0] / "other" / name).write_text(text.replace('"seed": 0,', '"seed": 0, "sft": {"steps": 9},'))
    with pytest.raises(Mixed, match=r"maxrl-seed0 would be one point, and differ in"):
        final.maxrl_efficiency(runs)


def test_figure_12_averages_the_share_of_prompts_with_a_success_over_an_epoch_where_there_is_one(runs, tmp_path):
    data = points(training.maxrl_fig12(runs).data, method="maxrl")
    np.testing.assert_allclose(data["mean"].iloc[:2], [1.5 / 32, 5.5 / 32])  # steps 0 to 3, 4 to 7
    assert list(data.step[:2]) == [3, 7]
    on_words(tmp_path / "a", "maxrl", 0, [[1, 0]], steps=2)
    assert list(training.maxrl_fig12(Context(runs=(tmp_path / "a",))).data["mean"]) == [0, 1 / 32]


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
    grpo = points(final.maxrl_efficiency(runs).data, method="grpo")
    # Seed 0: GRPO has 1/2 with any number of tries; MaxRL [3, 1] of 4 has (3/4 + 1/4) / 2 = 1/2 with one.
    assert list(grpo.k) == [1, 2, 4] and set(grpo.pairs) == {1}
    np.testing.assert_allclose(grpo.factor, [1, 2, 4])


def test_overviews_are_over_epochs_or_steps_and_tries(runs):
    fig = overview.words_overview(runs).fig
    assert [ax.get_xlabel() for ax in fig.axes[:2]] == ["epochs of the training set"] * 2
    assert fig.axes[1].get_title() == "solved with 4 tries"
    np.testing.assert_allclose([end(fig, 2, "MaxRL"), end(fig, 2, "Base")], [[11 / 16, 1], [3 / 16, 3 / 4]])
    on_words(runs.runs[0] / "gym", "grpo", 0, [[1, 0], [4, 2]], task="reasoning_gym")
    fig = overview.model_overview(Context(runs=(runs.runs[0] / "gym",))).fig
    assert [ax.get_xlabel() for ax in fig.axes[:2]] == ["RL step"] * 2
    np.testing.assert_allclose(end(fig, 0, "GRPO"), [0, 23 / 16])
    np.testing.assert_allclose([end(fig, 2, "GRPO"), end(fig, 2, "Base")], [[3 / 4, 1], [1 / 8, 1 / 2]])


def test_one_task_is_drawn_and_the_others_are_named(runs, capsys):
    on_words(runs.runs[0] / "zz", "maxrl", 0, [[4, 4], [4, 4]], task="my.module:task")
    assert tables.maxrl_table3(runs).data.runs.max() == 2
    assert "of 2 tasks in --runs words is drawn, not my.module:task" in capsys.readouterr().err


def test_the_command_prints_the_table_and_skips_what_needs_other_runs(runs, tmp_path, capsys):
    arguments = ["--figure=maxrl_table4,maze_overview", f"--out={tmp_path / 'out'}", f"--runs={runs.runs[0]}"]
    assert figures.main(arguments) == 2
    said = capsys.readouterr()
    assert "0.750 ± 0.250" in said.out
    assert "maze_overview: skipped, no run of mazes, evaluated before and after RL" in said.err
    assert (tmp_path / "out/maxrl_table4.csv").is_file()


# ------------------------------------------------------------------ several held-out sets


def evaluated(folder, kind, solved, samples=SAMPLES, temperature=0.6):
    counts = {"eval/solved": solved, "samples": samples, "eval/pass@1": np.mean(solved) / samples}
    votes = {f"eval/majority@{samples}": 0.5, "eval/majority@64": 0.25}
    (folder / f"evaluation/{kind}_T").mkdir(parents=True)
    settings = {"held_out": kind, "temperature": temperature, "top_p": 0.95}
    (folder / f"evaluation/{kind}_T" / SUMMARY).write_text(json.dumps({**settings, **counts, **votes}))


@pytest.fixture
def on_sets(runs):
    """The base of seed 0, MaxRL and GRPO, on two sets."""
    (folder,) = runs.runs
    base = on_words(folder / "base", "maxrl", 0, [[1, 0]])
    config = json.loads((base / "config.json").read_text())
    config["rl"]["steps"] = 0
    (base / "config.json").write_text(json.dumps(config))
    found = {"base": [1, 0], "maxrl-seed0": [3, 1], "maxrl-seed1": [4, 4], "grpo-seed0": [4, 0]}
    for name, solved in found.items():
        evaluated(folder / name, "", solved)
        evaluated(folder / name, "long", [0, *solved[:1]])
    return runs


def test_several_sets_have_a_panel_each_and_an_average(on_sets):
    data = sets.maxrl_fig5(on_sets).data
    assert list(dict.fromkeys(data.set)) == ["training distribution", "longer chains"]
    usual = points(data, metric="pass@k", set="training distribution", k=1).set_index("method")
    np.testing.assert_allclose(usual["mean"][["base", "maxrl", "grpo"]], [1 / 8, 3 / 4, 1 / 2])
    np.testing.assert_allclose(points(data, metric="efficiency", set="training distribution").factor, [1, 2, 4])
    mean = points(sets.maxpo_fig2(on_sets).data, set="mean of the sets", k=4).set_index("method")["mean"]
    np.testing.assert_allclose(mean[["base", "maxrl", "grpo"]], [1 / 2, 3 / 4, 1 / 2])
    table = sets.maxpo_table2(on_sets).data.set_index("method")
    assert (table["as trained@1"]["maxrl"], table["long@1"]["maxrl"]) == pytest.approx((3 / 4, 7 / 16))
    assert list(sets.maxrl_table7(on_sets).data["majority@64"]) == [0.25] * 3


def test_evaluations_of_other_sets_or_temperatures_are_not_joined(on_sets):
    other = on_words(on_sets.runs[0] / "rloo-seed0", "rloo", 0, [[1, 0]])
    evaluated(other, "rare", [1, 1])
    with pytest.raises(Skipped, match="one kind"):
        sets.maxpo_fig2(on_sets)
    evaluated(other, "", [1, 1], temperature=1.0)
    with pytest.raises(Skipped, match=r"temperatures.*\(0\.6, 0\.95\), \(1\.0, 0\.95\)"):
        sets.maxpo_fig2(on_sets)


def test_the_best_k_to_train_by_k_to_evaluate_by_is_marked(tmp_path):
    on_words(tmp_path / "rloo", "rloo", 0, [[1, 0], [4, 0]])
    on_words(tmp_path / "pkpo", "pkpo", 0, [[1, 0], [1, 2]], advantage={"k": 8})
    on_words(tmp_path / "annealed", "pkpo", 0, [[1, 0], [1, 1]], advantage={"k": [[0, 8], [4, 1]]})
    context = Context(runs=(tmp_path,))
    drawing = final.pkpo_fig3(context)
    texts = [text for text in drawing.fig.axes[-1].texts if text.get_fontweight() == "bold"]
    assert [text.get_text() for text in texts] == ["0.50", "1.00"]
    assert [t.get_text() for t in drawing.fig.axes[-1].get_yticklabels()] == ["1", "8", "8→1"]
    ends = points(training.pkpo_fig2(context).data, metric="problems solved so far").groupby("method")["mean"].last()
    np.testing.assert_allclose(ends, 23 / 24)
    assert set(training.pkpo_fig4(context).data.metric) == {"pass@1", "pass@4"}
    with pytest.raises(Skipped, match="harder set"):
        training.pkpo_fig5(context)


# ------------------------------------------------------------------ mazes


def value(data, k, source, method):
    (found,) = data[(data.k == k) & (data.source == source) & (data.method == method)]["mean"]
    return found


def test_figure_3_has_no_finite_point_where_nothing_was_solved(tmp_path):
    solved = {0: [1, 1] + [0] * 62, 50: [0] * 64}
    for method in ("maxrl", "grpo"):
        run(tmp_path / method, method, 0, solved, samples=128, maze={"size": 17, "training_set": 0})
    data = final.maxrl_fig3(Context(runs=(tmp_path,))).data
    for k in (1, 128):
        assert np.isinf(value(data, k, "ours", "maxrl")) and np.isinf(value(data, k, "ours", "grpo"))
    assert value(data, 1, "ours", "base") == pytest.approx(np.log(8192 / 2))  # two right among 64 x 128
    assert value(data, 128, "ours", "base") == pytest.approx(np.log(64 / 2))  # of two mazes
    assert (value(data, 1, "published", "base"), value(data, 128, "published", "base")) == (4.5, 0.7)


def test_figure_3_is_the_mean_of_minus_log_pass_at_k_at_the_last_common_step(tmp_path):
    run(tmp_path / "a", "maxrl", 0, {0: [1, 0], 5: [2, 2], 10: [4, 4]}, rl={"num_rollouts": 4})
    run(tmp_path / "a1", "maxrl", 1, {0: [1, 0], 5: [1, 1], 10: [4, 4]}, rl={"num_rollouts": 4})
    run(tmp_path / "b", "maxrl", 0, {0: [1, 0], 5: [4, 2]})
    run(tmp_path / "b1", "maxrl", 1, {0: [1, 0], 5: [4, 2]})
    run(tmp_path / "b2", "maxrl", 2, {0: [1, 0], 5: [4, 4]})  # a seed that the other point has not
    data = final.maxrl_fig3(Context(runs=(tmp_path,))).data
    ours = data[(data.method == "maxrl") & (data.k == 1)].set_index("rollouts")["mean"]
    assert dict(ours) == pytest.approx({4: (np.log(2) + np.log(4)) / 2, 8: np.log(4 / 3)}) and set(data.step) == {5}
    assert not (data.source == "published").any()  # of another size
    run(tmp_path / "c", "maxrl", 0, {7: [4, 2]}, rl={"num_rollouts": 2})
    with pytest.raises(Mixed, match="no step"):
        final.maxrl_fig3(Context(runs=(tmp_path,)))


def test_sft_curve_is_over_the_problems_seen_of_runs_evaluated_during_sft(tmp_path):
    for name, batch, found in (("a", 8, True), ("b", 32, True), ("only_loss", 8, False)):
        lines = [{"step": i, "sft/loss": 4.0 - i} for i in range(3)]
        lines += [{"step": 0, "sft/pass@1": 0.0}, {"step": 3, "sft/pass@1": 0.25}] if found else []
        run(tmp_path / name, "maxrl", 0, {}, lines, sft={"batch_size": batch})
    data = sft.sft_curve(Context(runs=(tmp_path,))).data
    found = {name: list(zip(rows.problems, rows.value, strict=True)) for name, rows in data.groupby(["run", "metric"])}
    assert {name: rows for name, rows in found.items() if name[0] != "Blind guess"} == {
        ("a", "loss"): [(0, 4), (8, 3), (16, 2)], ("a", "pass@1"): [(0, 0), (24, 0.25)],
        ("b", "loss"): [(0, 4), (32, 3), (64, 2)], ("b", "pass@1"): [(0, 0), (96, 0.25)],
    }  # fmt: skip
    with pytest.raises(Skipped, match="eval_every_steps"):
        sft.sft_curve(Context(runs=(tmp_path / "only_loss",)))


# ------------------------------------------------------------------ the initialisation ladder

BASES = {"model_sft_50": 0.01, "model_sft_200": 0.1}  # shortest-path pass@1 before RL


def graded(rate):
    """An evaluation whose metrics are told apart."""
    names = {"shortest_pass@1": rate, "reward_mean": rate + 0.1, "best@32": rate + 0.2}
    return {f"eval/{name}": value for name, value in names.items()} | {"eval/solved": [1, 2]}


def rung(folder, base, method, seed, before, after, *, reward="path_quality", steps=400, rollouts=16):
    maze = {"maze": {"size": 9, "reward": reward}, "model": {"init_from": f"runs/sft/{base}"}}
    name = folder / base / f"{method}-{reward}-seed{seed}"
    advantage, rl = {"k": 8, "order": 2}, {"num_rollouts": rollouts}
    return run(name, method, seed, {0: before, steps: after}, rl=rl, samples=32, advantage=advantage, **maze)


@pytest.fixture
def ladder(tmp_path):
    """Two bases; tailrl on seeds 0 and 1, grpo on seed 0; of seed 1 the evaluation before RL found 0.02 more."""
    for base, rate in BASES.items():
        rung(tmp_path, base, "tailrl", 0, graded(rate), graded(rate + 0.2))
        rung(tmp_path, base, "tailrl", 1, graded(rate + 0.02), graded(rate + 0.4))
        rung(tmp_path, base, "grpo", 0, graded(rate), graded(rate + 0.1))
    return tmp_path


def draw(folder):
    return maze_ladder.maze_ladder(Context(runs=(folder,)))


def row(data, method, base, metric):
    (found,) = points(data, method=method, base=base, metric=metric).itertuples()
    return found


def test_final_rates_are_means_over_seeds_and_the_base_counts_once_a_seed(ladder):
    drawing = draw(ladder)
    data = drawing.data
    for base, rate in BASES.items():
        for metric, more in {"reward_mean": 0.1, "best@32": 0.2}.items():
            tailrl, grpo = row(data, "tailrl", base, metric), row(data, "grpo", base, metric)
            assert (tailrl.final, tailrl.standard_error) == pytest.approx((rate + 0.3 + more, 0.1)) and tailrl.runs == 2
            assert grpo.final == pytest.approx(rate + 0.1 + more) and np.isnan(grpo.standard_error)
        # 0.01 more than seed 0: grpo's evaluation of the base is tailrl's of that seed again.
        assert set(np.round(data[data.base == base].initial, 12)) == {round(rate + 0.01, 12)}
        own = row(data, "base", base, "best@32")
        assert own.final == pytest.approx(rate + 0.21) and own.runs == 2
    assert list(dict.fromkeys(data.base)) == list(BASES)  # weakest first
    assert [ax.get_xscale() for ax in drawing.fig.axes] == ["log"] * 2
    found = {text.get_text() for text in drawing.fig.legends[0].get_texts()}
    assert found == {"TailRL (2 seeds)", "GRPO (1 seed)", "Base, no RL (2 seeds)", "blind guess"}


def binary(ladder, base="model_sft_50"):
    return rung(ladder, base, "maxrl", 0, {"eval/solved": [1, 2]}, {"eval/solved": [2, 2]}, reward="solved")


def graded_afterwards(folder, **settings):
    file = folder / "model" / "evaluation_9" / SUMMARY
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"reward": "path_quality", "mazes": 4, "samples": 64, **graded(0.5)} | settings))


def test_a_run_on_zero_and_one_is_drawn_from_its_evaluation_by_the_graded_reward(ladder):
    graded_afterwards(binary(ladder))
    data = draw(ladder).data
    assert row(data, "maxrl_solved", "model_sft_50", "best@32").final == pytest.approx(0.7)
    assert row(data, "base", "model_sft_50", "best@32").runs == 2  # its own evaluations are not graded


def few_samples(folder):
    less = {"eval/reward_mean": 0.2, "eval/shortest_pass@1": 0.1, "eval/solved": [1, 2]}
    rung(folder, "model_sft_50", "rloo", 0, graded(0.01), less)


REFUSED = {
    "first run python -m experiments.maze.evaluate .*--reward=path_quality --mazes=4 --samples=32": binary,
    "rewarded 0 or 1: first": lambda folder: graded_afterwards(binary(folder), reward="solved"),
    "these end at steps 300, 400": lambda folder: rung(
        folder, "model_sft_50", "rloo", 0, graded(0.1), graded(0.2), steps=300
    ),
    "no run with maze.reward=path_quality from model_sft_9": lambda folder: graded_afterwards(
        binary(folder, "model_sft_9")
    ),
    r"rloo-path_quality-seed0 was evaluated without best@32 \(samples a maze: 32\)": few_samples,
    r"would be one point, and differ in seed, rl\.num_rollouts": lambda folder: rung(
        folder, "model_sft_50", "tailrl", 2, graded(0.1), graded(0.2), rollouts=64
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_runs_that_make_no_ladder_are_refused(ladder, message):
    REFUSED[message](ladder)
    with pytest.raises((Skipped, Mixed), match=message):
        draw(ladder)
