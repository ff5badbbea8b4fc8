"""The initialisation ladder, drawn from run folders made up here."""

import json

import numpy as np
import pytest

from experiments.figures import maze_ladder
from experiments.figures.registry import Context, Skipped
from experiments.lm.counts import SUMMARY
from experiments.results.groups import Mixed

STEPS = 400
BASES = {"model_sft_50": 0.01, "model_sft_200": 0.1}  # shortest-path pass@1 before RL


def metrics(rate, prefix="eval/"):
    """An evaluation whose three metrics are told apart."""
    names = {"shortest_pass@1": rate, "reward_mean": rate + 0.1, "best@32": rate + 0.2, "shortest_pass@32": rate + 0.3}
    return {f"{prefix}{name}": value for name, value in names.items()} | {f"{prefix}solved": [1, 2]}


def run(folder, base, method, seed, before, after, *, reward="path_quality", steps=STEPS, k=8):
    advantage = {"name": method, "k": k, "order": 2}
    config = {
        "seed": seed,
        "maze": {"size": 9, "reward": reward},
        "model": {"init_from": f"runs/sft/{base}"},
        "rl": {"advantage": advantage, "entropy_coef": 0.0, "num_rollouts": 16},
        "eval": {"num_samples": 32, "num_mazes": 2, "seed": 0},
    }
    folder = folder / base / f"{method}-{reward}-seed{seed}"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    lines = [{"step": 0, **before}, {"step": steps, **after}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def ladder(tmp_path):
    """Two bases; tailrl on seeds 0 and 1, grpo on seed 0; of seed 1 the evaluation before RL found 0.02 more."""
    for base, rate in BASES.items():
        run(tmp_path, base, "tailrl", 0, metrics(rate), metrics(rate + 0.2))
        run(tmp_path, base, "tailrl", 1, metrics(rate + 0.02), metrics(rate + 0.4))
        run(tmp_path, base, "grpo", 0, metrics(rate), metrics(rate + 0.1))
    return tmp_path


def draw(folder):
    return maze_ladder.maze_ladder(Context(runs=(folder,)))


def row(data, method, base, metric):
    (found,) = data[(data.method == method) & (data.base == base) & (data.metric == metric)].itertuples()
    return found


def test_final_rates_are_means_over_seeds_by_base(ladder):
    data = draw(ladder).data
    for base, rate in BASES.items():
        for metric, more in {"reward_mean": 0.1, "best@32": 0.2, "shortest_pass@32": 0.3}.items():
            tailrl, grpo = row(data, "tailrl", base, metric), row(data, "grpo", base, metric)
            assert tailrl.final == pytest.approx(rate + 0.3 + more) and tailrl.runs == 2
            assert tailrl.standard_error == pytest.approx(0.1)  # of rate + 0.2 and rate + 0.4
            assert grpo.final == pytest.approx(rate + 0.1 + more) and np.isnan(grpo.standard_error)
    assert list(dict.fromkeys(data.base)) == list(BASES)  # weakest first


def test_what_is_measured_before_rl_counts_once_a_seed(ladder):
    data = draw(ladder).data
    for base, rate in BASES.items():
        # 0.01 more than seed 0: grpo's evaluation of the base is tailrl's of that seed again.
        assert set(np.round(data[data.base == base].initial, 12)) == {round(rate + 0.01, 12)}
        own = row(data, "base", base, "best@32")
        assert own.final == pytest.approx(rate + 0.21) and own.runs == 2


def test_lines_go_through_the_bases_on_a_logarithmic_axis(ladder):
    fig = draw(ladder).fig
    assert [ax.get_xscale() for ax in fig.axes] == ["log"] * 3
    found = {text.get_text() for text in fig.legends[0].get_texts()}
    assert found == {"TailRL (2 seeds)", "GRPO (1 seed)", "Base, no RL (2 seeds)", "blind guess"}
    for ax, more in zip(fig.axes, (0.1, 0.2, 0.3), strict=True):
        line = next(c for c in ax.containers if c.get_label() == "TailRL (2 seeds)").lines[0]
        np.testing.assert_allclose(line.get_ydata().astype(float), [rate + 0.3 + more for rate in BASES.values()])


def solved(ladder):
    return run(ladder, "model_sft_50", "maxrl", 0, {"eval/solved": [1, 2]}, {"eval/solved": [2, 2]}, reward="solved")


def evaluated(folder, **settings):
    file = folder / "model" / "evaluation_9" / SUMMARY
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"reward": "path_quality", "mazes": 2, "samples": 64, **metrics(0.5)} | settings))


def test_a_run_on_zero_and_one_is_drawn_from_its_evaluation_by_the_graded_reward(ladder):
    evaluated(solved(ladder))
    drawing = draw(ladder)
    assert row(drawing.data, "maxrl_solved", "model_sft_50", "best@32").final == pytest.approx(0.7)
    assert row(drawing.data, "base", "model_sft_50", "best@32").runs == 2  # its own evaluations are not graded
    assert "MaxRL, reward 0 or 1 (1 seed)" in {text.get_text() for text in drawing.fig.legends[0].get_texts()}


@pytest.mark.parametrize("settings", [None, {"reward": "solved"}, {"mazes": 1}])
def test_a_run_on_zero_and_one_without_it_says_the_command(ladder, settings):
    folder = solved(ladder)
    if settings:
        evaluated(folder, **settings)
    flags = f"--model={folder}/model --reward=path_quality --mazes=2 --samples=32"
    with pytest.raises(Skipped, match=f"first run python -m experiments.maze.evaluate {flags}"):
        draw(ladder)


def test_runs_that_differ_in_more_than_their_seed_are_no_seeds_of_one_point(ladder):
    changed = ladder / "model_sft_50" / "tailrl-path_quality-seed1" / "config.json"
    changed.write_text(changed.read_text().replace('"num_rollouts": 16', '"num_rollouts": 64'))
    with pytest.raises(Mixed, match=r"would be one point, and differ in seed, rl\.num_rollouts"):
        draw(ladder)


def few_samples(folder):
    less = {"eval/reward_mean": 0.2, "eval/shortest_pass@1": 0.1, "eval/solved": [1, 2]}
    run(folder, "model_sft_50", "rloo", 0, metrics(0.01), less)


REFUSED = {
    "these end at steps 300, 400": lambda folder: run(
        folder, "model_sft_50", "rloo", 0, metrics(0.1), metrics(0.2), steps=300
    ),
    "no run with maze.reward=path_quality from model_sft_9": lambda folder: evaluated(
        run(folder, "model_sft_9", "maxrl", 0, {"eval/solved": [1, 2]}, {"eval/solved": [2, 2]}, reward="solved")
    ),
    r"rloo-path_quality-seed0 was evaluated without best@32 \(samples a maze: 32\)": few_samples,
}


@pytest.mark.parametrize("message", REFUSED)
def test_runs_that_make_no_ladder_are_refused(ladder, message):
    REFUSED[message](ladder)
    with pytest.raises(Skipped, match=message):
        draw(ladder)
