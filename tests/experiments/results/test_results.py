"""Reading run folders, the spread over seeds, the one look: what every table and figure rests on."""

import json
import re

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments.results import band, folders, groups, policy_curves, style
from experiments.results.spread import over_seeds, spread
from maxrl_jax import advantages
from maxrl_jax.errors import ConfigError
from maxrl_jax.tasks.maze import pictures
from tests.experiments.imagenet.small import ROOT


def make(folder, *lines, config=None):
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


# ------------------------------------------------------------------ folders


def test_values_are_by_prefix_and_step_and_the_later_line_counts(tmp_path):
    lines = [{"step": 0, "train/loss": 1.0}, {"step": 1, "train/loss": 2.0, "eval/x": [1, 2]}, {"step": 1, "eval/y": 3}]
    make(tmp_path / "a", *lines, {"step": 1, "train/loss": 5.0, "final/params_sha256": "00"}, config={"rl": {"n": 4}})
    run = folders.read(tmp_path / "a")
    assert run.values("train") == {0: {"loss": 1.0}, 1: {"loss": 5.0}}
    assert run.values("eval") == {1: {"x": [1, 2], "y": 3}}
    assert run.table("train").loss.to_list() == [1.0, 5.0] and run.table("train").index.name == "step"
    assert run.table("sft").empty
    assert (run.fields, run.seed, run.name, run.finished) == ({"rl.n": 4}, 0, "a", True)
    assert run.final() == {"final/params_sha256": "00"}


def test_runs_are_found_at_any_depth_once_and_not_inside_one_another(tmp_path):
    for name in ("sweep/b", "sweep/deep/a", "alone"):
        make(tmp_path / name, {"step": 0, "train/loss": 1.0})
    make(tmp_path / "alone" / "checkpoints", {"step": 0})  # what lies in a run's folder is the run's
    (tmp_path / "sweep" / "parts").mkdir()
    (tmp_path / "sweep" / "parts" / "metrics-000000.jsonl").write_text('{"step": 0}\n')  # of a bucket
    found = folders.find([tmp_path / "alone", tmp_path / "sweep", tmp_path / "alone"])
    assert [run.name for run in found] == ["alone", "b", "a", "parts"]


def test_runs_of_one_name_are_told_apart(tmp_path):
    for name in ("a/x/run", "b/x/run", "y/run", "z"):
        make(tmp_path / name, {"step": 0})
    assert [run.name for run in folders.find([tmp_path])] == ["a/x/run", "b/x/run", "y/run", "z"]


@pytest.mark.parametrize(
    ("text", "said"), [('{"step": 0}\n{"a\n{"step": 1}\n', "line 2 is none"), ('{"a": 0}\n{"step": 1}\n', "line 1 has")]
)
def test_a_broken_line_is_named_with_the_flag(tmp_path, text, said):
    make(tmp_path / "a")
    (tmp_path / "a" / "metrics.jsonl").write_text(text)
    with pytest.raises(ConfigError, match=said) as error:
        folders.find([tmp_path], "--where")
    assert error.value.key == "--where"


def test_committed_runs_are_read():
    images = folders.find([ROOT / "results/imagenet_tiny/runs"])
    mazes = folders.find([ROOT / "results/maze_9/runs"])
    assert len(images) == 21 and len(mazes) == 9
    assert all(run.finished and run.values("eval") and run.config for run in (*images, *mazes))


# ------------------------------------------------------------------ spread


def test_spread_is_by_arithmetic_and_one_seed_has_no_error():
    mean, error, count = spread([[1.0, 2.0], [3.0, np.nan], [8.0, np.nan]])
    np.testing.assert_allclose(mean, [4.0, 2.0])
    np.testing.assert_allclose(error, [np.sqrt((9 + 1 + 16) / 2 / 3), np.nan])
    assert count.tolist() == [3, 1]
    assert np.isnan(spread([5.0]).error) and spread([5.0]).mean == 5.0
    assert spread(np.zeros((2, 4, 3)), axis=1).mean.shape == (2, 3)


def test_of_an_infinite_value_the_mean_is_infinite_and_the_error_unknown():
    mean, error, _ = spread([np.inf, 1.0])
    assert np.isinf(mean) and np.isnan(error)


def test_over_seeds_of_a_table_is_the_spread_of_its_rows():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"step": np.repeat([0, 1], 4), "seed": [*range(4)] * 2, "y": rng.normal(size=8)})
    found = over_seeds(table, ["step"], "y")
    mean, error, count = spread(table.y.to_numpy().reshape(2, 4), axis=1)
    np.testing.assert_allclose(found[["mean", "standard_error", "n"]].to_numpy().T, [mean, error, count])


# ------------------------------------------------------------------ band


def test_a_band_is_mean_plus_and_minus_the_error_and_none_for_one_seed():
    ax = Figure().subplots()
    band.band(ax, [0, 1], [1.0, 2.0], [0.5, 0.25], color="red")
    (area,) = ax.collections
    y = area.get_paths()[0].vertices[:, 1]
    assert {0.5, 1.5, 1.75, 2.25} <= set(y.tolist())
    band.band(ax, [0, 1], [1.0, 2.0], [np.nan, np.nan])
    assert len(ax.lines) == 2 and len(ax.collections) == 1


def test_on_a_logarithmic_axis_a_band_stays_above_zero():
    ax = Figure().subplots()
    ax.set_yscale("log")
    band.band(ax, [0, 1], [1.0, 1.0], [5.0, 0.5])
    assert ax.collections[0].get_paths()[0].vertices[:, 1].min() > 0


# ------------------------------------------------------------------ look


def test_no_method_is_black_as_the_axes_are_nor_has_the_colours_of_a_mazes_paths():
    methods = {mpl.colors.to_hex(colour) for colour in style.COLOURS.values()}
    assert "#000000" not in methods
    own = (pictures.RIGHT, pictures.FAILED, pictures.START, pictures.GOAL, pictures.SOLUTION, pictures.WALL)
    assert not methods & set(own)
    css = (ROOT / "experiments/report/style.css").read_text()
    assert pictures.RIGHT in css and pictures.FAILED in css


def test_estimators_are_plotted_under_their_names_and_each_has_its_own_look():
    assert [re.sub("[ -]", "_", style.LABELS[name].lower()) for name in advantages.names()] == list(advantages.names())
    looks = [style.look(name) for name in advantages.names()]
    assert len({(look["color"], str(look["linestyle"])) for look in looks}) == len(looks)


def test_the_reference_is_drawn_over_what_meets_it_and_lets_it_through():
    reference, other = style.look("cross_entropy"), style.look("maxrl")
    assert reference["zorder"] > other["zorder"] and reference["linestyle"] != "-" == other["linestyle"]


def test_a_curve_at_zero_lies_above_the_axis():
    ax = Figure().subplots()
    ax.plot([0, 1], [0.0, 2.0])
    style.from_zero(ax)
    assert ax.get_ylim()[0] < 0 < 2 <= ax.get_ylim()[1]


def test_methods_drawn_together_are_told_apart_by_colour_and_line():
    methods = ["maxrl", "maxrl_unbiased", "maxrl_order_4", "tailrl", "grpo", "grpo_entropy", "rloo", "pkpo_k16"]
    methods += ["maxpo_k4", "maxpo_k16", "maxpo_k8to1", "differential_smoothing", "self_masked", "base"]
    one_of_each = [groups.Group(method, method, groups.label(method), ()) for method in methods]
    drawn = policy_curves.looks(one_of_each, markers=True)
    assert len({(look["color"], str(look["linestyle"])) for look in drawn.values()}) == len(drawn)
    assert len({(look["color"], look["marker"]) for look in drawn.values()}) == len(drawn)
    labels = ("MaxRL order 4", "MaxPO, k=4", "MaxPO, k=8 to 1", "GRPO + entropy")
    chosen = ("maxrl_order_4", "maxpo_k4", "maxpo_k8to1", "grpo_entropy")
    assert tuple(drawn[method]["label"] for method in chosen) == labels
