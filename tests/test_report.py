"""The report page: whole, self-contained, true to the metrics, and one line for what it cannot read."""

import html.parser
import json
import re

import numpy as np
import pytest

from experiments.report import __main__ as report
from experiments.report import curves, mazes, plots
from experiments.results import folders, image_runs, style
from experiments.results.groups import group
from maxrl_jax.runs.folder.metric_writer import encode
from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import tokens, verifier
from tests.experiments.imagenet.small import ROOT

HOSTILE = '<script>alert("&")</script>'


def make_run(folder, *, seed=0, scale=1.0, steps=5, finished=True, **config):
    """A run folder as the drivers leave it: train/loss = scale * (step + seed), three eval/pass@k, a list, a null."""
    (folder / "figures").mkdir(parents=True)
    lines = []
    for step in range(steps):
        loss = scale * (step + seed)
        lines.append(encode(step, {"train/loss": loss, "train/flat": [loss, loss + 2.0], "sft/loss": 7.0}))
    lines.append(encode(steps, {"eval/pass@1": 0.1, "eval/pass@2": 0.2, "eval/pass@16": 0.3, "eval/gone": np.nan}))
    lines.append(encode(steps, {"perf/train_seconds_per_step": 1e-5}))
    if finished:
        lines.append(encode(steps, {"final/params_sha256": "ab" * 32, "final/solved": [0.25, 0.5]}))
    (folder / "metrics.jsonl").write_text("".join(line + "\n" for line in lines))
    settings = {"seed": seed, "rl": {"scale": scale, "name": "maxrl"}, "wandb": {"group": "g"}, **config}
    (folder / "config.json").write_text(json.dumps(settings))
    environment = {
        "command": ["experiments/bandit", "--x"], "versions": {"jax": "0.10.2"}, "host": "h",
        "devices": {"platform": "cpu", "kind": "cpu", "count": 8, "processes": 2},
        "git": {"commit": "c0ffee" * 6, "branch": "main", "changed_files": ["a.py"]}, "earlier": [{}],
    }  # fmt: skip
    (folder / "environment.json").write_text(json.dumps(environment))
    return folder


class Page(html.parser.HTMLParser):
    """Parses a page: checks that tags close in order, and keeps text, attributes and the tags met."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.attributes, self.tags = [], "", [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def write(tmp_path, *folders, extra=()):
    """The page's text without Vega's own script, and its parse."""
    out = tmp_path / "page.html"
    assert report.main([*map(str, folders), f"--out={out}", *extra]) == 0
    text = out.read_text()
    assert text.count(plots.library()) == 1
    text = text.replace(plots.library(), "")
    return text, Page(text)


def drawn(text):
    """The lines drawn, as the page holds them: title -> lines."""
    held = json.loads(re.search(r'<script type="application/json" id="curves">(.*?)</script>', text)[1])
    titles = dict(re.findall(r'id="(chart-[\d-]+)" role="img" aria-label="(.*?) by (?:step|k)', text))
    assert set(titles) == set(held["charts"])
    assert {chart["spec"] for chart in held["charts"].values()} == set(held["specs"])
    return {title: held["charts"][name]["lines"] for name, title in titles.items()}


METRICS = ("train/loss", "train/flat", "sft/loss", "eval/pass@1", "eval/pass@2", "eval/pass@16", "eval/gone",
           "perf/train_seconds_per_step", "final/params_sha256", "final/solved")  # fmt: skip


@pytest.mark.parametrize("count", [1, 2])
def test_every_metric_the_config_and_the_environment_are_on_the_page(tmp_path, count):
    folders = [make_run(tmp_path / f"run{i}", scale=1.0 + i) for i in range(count)]
    text, page = write(tmp_path, *folders)
    for name in METRICS:
        assert name in page.text, name
    for said in ("rl.scale", "0.10.2", "8 x cpu", "2 process", "c0ffeec0ffee", "a.py"):
        assert said in page.text, said
    assert set(drawn(text)) >= {"eval/pass@1", "eval/pass@k, last, over k", "train/loss", "sft/loss"}
    assert page.text.index("What the runs found") < page.text.index("Evaluation eval/") < page.text.index("Training")
    if count == 1:
        assert "Finished after sft 5, train 5 steps" in page.text
        assert "experiments/bandit --x" in page.text
    else:
        assert "1 field differs" in page.text
        assert '<tr class="differs"><th><code>rl.scale</code></th><td><code>1.0</code>' in text


def test_nothing_is_fetched_from_elsewhere_and_user_text_is_escaped(tmp_path):
    folder = make_run(tmp_path / 'a & <b>"', note=HOSTILE)
    (folder / "figures/picture.png").write_bytes(b"\x89PNG")
    (folder / "figures/drawn.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'></svg>")
    lines = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.jsonl").write_text(encode(0, {f"eval/{HOSTILE}": 1.0}) + "\n" + lines)
    text, page = write(tmp_path, folder, extra=[f"--title={HOSTILE}"])
    sources = [value for name, value in page.attributes if name in ("src", "href", "xlink:href", "data", "srcset")]
    assert len(sources) == 2
    assert all(source.startswith("data:image/") for source in sources)
    assert page.tags.count("script") == 3  # the data, Vega, ours
    assert HOSTILE not in text
    assert not re.search(r"url\(|@import|https?://", text)
    (allowed,) = [v for n, v in page.attributes if n == "content" and "-src" in v]
    assert allowed.split("; ")[:2] == ["default-src 'none'", "img-src data:"]
    assert page.text.count(HOSTILE) >= 6  # title, heading, tile, chart, final table, config


def test_runs_that_differ_in_their_seed_are_one_line_with_mean_and_error(tmp_path):
    sweep = tmp_path / "sweep"
    for scale in (1.0, 10.0):
        for seed in (0, 1):
            make_run(sweep / f"rl.scale={scale},seed={seed}", seed=seed, scale=scale)
    (sweep / "notes").mkdir()
    text, page = write(tmp_path, sweep)
    groups = group(folders.find([str(sweep)]))
    assert [one.label for one in groups] == ["scale=1.0", "scale=10.0"]
    (loss,) = [c for c in curves.charts(groups, curves.frame(groups))["train"] if c.title == "train/loss"]
    assert np.allclose(loss.series[1].value, 10 * (np.arange(5) + 0.5))
    assert np.allclose(loss.series[1].error, 5.0)  # std of 0 and 10 with ddof 1 over sqrt(2)
    assert "45 ± 5" in page.text
    assert "5.5 ± 0.5" in page.text  # train/flat: the mean of [4, 6] and [5, 7]
    assert "4 of 4 finished, 2 settings with up to 2 seeds each" in page.text
    (one, ten) = drawn(text)["train/loss"]
    assert ten["label"] == "scale=10.0" and ten["x"] == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(ten["value"], 10 * (np.arange(5) + 0.5), rtol=1e-4)
    np.testing.assert_allclose(ten["low"], 10 * (np.arange(5) + 0.5) - 5, rtol=1e-4)
    np.testing.assert_allclose(one["high"], np.arange(5) + 1.0, rtol=1e-4)
    (first, _) = drawn(text)["eval/pass@k, last, over k"]
    assert first["x"] == [1, 2, 16] and first["value"] == [0.1, 0.2, 0.3]


def test_known_methods_come_in_one_order_with_the_names_and_colours_of_every_figure(tmp_path):
    for name in ("grpo", "rloo", "maxrl"):
        for n in (16, 4):
            make_run(tmp_path / f"{name}{n}", rl={"advantage": {"name": name}, "num_rollouts": n})
    groups = group(folders.find([str(tmp_path)]))
    assert [one.label for one in groups] == [
        f"{label}, num_rollouts={n}" for label in ("MaxRL", "GRPO", "RLOO") for n in (4, 16)
    ]
    looks = curves.looks(groups)
    assert [look.colour for look in looks[::2]] == [style.COLOURS[name] for name in ("maxrl", "grpo", "rloo")]
    assert [look.colour for look in looks[1::2]] == [look.colour for look in looks[::2]]
    assert len(set(looks)) == len(looks)  # told apart by their dash
    assert curves.looks(groups[:1]) == looks[:1]
    assert curves.looks(groups[:2]) == curves.in_turn(2)  # of one method


def test_of_cross_entropy_the_fields_it_does_not_use_are_not_said(tmp_path):
    for name in ("cross_entropy", "policy_gradient"):
        loss = {"name": name, "num_rollouts": 4 + len(name), "advantage": {"name": "maxrl"}}
        make_run(tmp_path / name, rl={}, loss=loss)
    assert [one.label for one in group(folders.find([str(tmp_path)]))] == ["Cross-entropy", "MaxRL"]


def from_bases(tmp_path, *named):
    """The groups of runs given as (method, seed, base)."""
    for method, seed, base in named:
        config = {"rl": {"advantage": {"name": method}}, "model": {"init_from": base}}
        make_run(tmp_path / f"{method}-seed{seed}-{base}", seed=seed, **config)
    return {one.label: len(one.runs) for one in group(folders.find([str(tmp_path)]))}


def test_seeds_with_a_base_each_are_seeds_of_one_method(tmp_path):
    found = from_bases(tmp_path, *((m, seed, f"sft-{seed}") for m in ("maxrl", "grpo") for seed in (0, 1, 2)))
    assert found == {"MaxRL": 3, "GRPO": 3}
    assert from_bases(tmp_path, ("rloo", 1, "sft-1")) == {"MaxRL": 3, "GRPO": 3, "RLOO": 1}


def test_bases_that_one_seed_has_several_of_are_what_is_compared(tmp_path):
    named = [("maxrl", seed, f"step-{step}") for step in (100, 200) for seed in (0, 1)]
    assert from_bases(tmp_path, *named) == {"MaxRL, init_from=step-100": 2, "MaxRL, init_from=step-200": 2}


def test_runs_that_differ_in_what_is_decoded_at_a_time_are_together(tmp_path):
    for seed, rows in ((0, 0), (1, 128)):
        make_run(tmp_path / f"run-{seed}", seed=seed, rl={"name": "maxrl", "decode_rows": rows})
    assert [len(one.runs) for one in group(folders.find([str(tmp_path)]))] == [2]


def test_the_same_seed_twice_is_a_comparison_not_a_spread(tmp_path):
    for name in ("one", "two"):
        make_run(tmp_path / name / "run")
    groups = group(folders.find([str(tmp_path / "one/run"), str(tmp_path / "two/run")]))
    assert [one.label for one in groups] == ["one/run", "two/run"]
    assert [len(one.runs) for one in groups] == [1, 1]


def test_a_torn_last_line_is_left_out_and_a_run_may_go_on(tmp_path):
    folder = make_run(tmp_path / "run", finished=False)
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"step": 99, "train/lo')
    _, page = write(tmp_path, folder)
    assert "Not finished after sft 5, train 5 steps" in page.text
    lines = (folder / "metrics.jsonl").read_text().splitlines()[:-1]
    (folder / "metrics.jsonl").unlink()  # as on an object store
    for i, line in enumerate(lines):
        (folder / f"metrics-{i:06d}.jsonl").write_text(line + "\n")
    again, _ = write(tmp_path, folder, extra=["--title=run"])
    assert "train/loss" in again
    assert report.main([str(folder)]) == 0 and "<h1>run</h1>" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("break_it", "arguments", "said"),
    [
        (None, ["absent"], "DIR: got 'absent', allowed: a folder that exists"),
        (None, ["run/figures"], "DIR: got 'run/figures', allowed: a run folder (with metrics.jsonl), or"),
        (("metrics.jsonl", ""), ["run"], "DIR: got 'run', allowed: a run that has logged at least one line"),
        (("metrics.jsonl", '{"step": 0}\n{"st\n{"step": 2}\n'), ["run"], "line 2 is none"),
        (None, ["run", "--out=run"], "--out: got 'run', allowed: a file that can be written"),
        (None, [], "command line: "),
    ],
)
def test_what_cannot_be_read_is_one_line_and_status_2(tmp_path, monkeypatch, capsys, break_it, arguments, said):
    make_run(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    if break_it:
        (tmp_path / "run" / break_it[0]).write_text(break_it[1])
    try:
        status = report.main(arguments)
    except SystemExit as exit:
        status = exit.code
    assert status == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert said in error
    assert not (tmp_path / "report.html").exists()


def test_metrics_are_drawn_in_families():
    names = ["eval/pass@1", "eval/pass@16", "eval/pass@1_hard", "train/fail_a", "train/fail_b", "train/fail_c",
             "train/all_fail", "train/all_solved", "train/return/maxpo/N8", "train/return/rloo/N8"]  # fmt: skip
    assert curves.families(names) == {
        "eval/pass@k": ("eval/pass@1", "eval/pass@16"),
        "eval/pass@1_hard": ("eval/pass@1_hard",),
        "train/fail_…": ("train/fail_a", "train/fail_b", "train/fail_c"),
        "train/all_fail": ("train/all_fail",),
        "train/all_solved": ("train/all_solved",),
        "train/return/…": ("train/return/maxpo/N8", "train/return/rloo/N8"),
    }


def test_long_curves_are_means_of_bins(tmp_path):
    folder = make_run(tmp_path / "run", steps=2 * curves.MOST_POINTS)
    groups = group(folders.find([str(folder)]))
    (loss,) = [c.series[0] for c in curves.charts(groups, curves.frame(groups))["train"] if c.title == "train/loss"]
    assert (loss.binned, len(loss.value)) == (2, curves.MOST_POINTS)
    assert np.allclose(loss.value, 2 * np.arange(curves.MOST_POINTS) + 0.5)
    assert loss.last == 2 * curves.MOST_POINTS - 1  # not the last bin's mean


def line(value, error=None):
    value = np.array(value, float)
    error = np.full(len(value), np.nan) if error is None else np.array(error)
    return curves.Series("a", np.arange(float(len(value))), value, error, 0.0, curves.in_turn(1)[0], 1)


def test_gaps_are_left_open_and_what_is_nowhere_finite_is_not_drawn():
    chart = curves.Chart("m", (line([1.0, 2.0, np.nan, 3.0]),), ("m",), True)
    (only,) = plots.data(chart, {style.CYCLE[0]: "var(--line-0)"})["lines"]
    assert (only["value"], only["low"], only["colour"]) == ([1.0, 2.0, None, 3.0], [], "var(--line-0)")
    assert chart.drawn and not curves.Chart("m", (line([np.nan, np.inf]),), ("m",), True).drawn


def test_values_over_more_than_three_decades_have_a_logarithmic_axis_and_a_band_above_0():
    charts = [curves.Chart("m", (line([1e-3, 2.0], [5e-3, 1.0]),), ("m",), True),
              curves.Chart("m", (line([2e-3, 2.0]),), ("m",), True),
              curves.Chart("m", (line([-1e-3, 2.0]),), ("m",), True)]  # fmt: skip
    assert [chart.log for chart in charts] == [True, False, False]
    (only,) = plots.data(charts[0], {style.CYCLE[0]: ""})["lines"]
    assert 0 < only["low"][0] < 1e-3 and only["low"][1] == 1.0 and only["high"] == [6e-3, 3.0]
    assert set(plots.specifications(charts)) == {"step", "step log"}


def test_mazes_are_drawn_with_a_right_and_a_failed_answer(tmp_path):
    walls = np.ones((1, 5, 5), bool)
    walls[0, 1, 1:4] = walls[0, 1:4, 3] = False
    answers = np.array([[[16, 16, 14, 14, 7, 2], [16, 16, 16, 7, 0, 0], [14, 7, 0, 0, 0, 0]]], np.int32)
    verdict = maze.judge(walls, answers)
    folder = make_run(tmp_path / "run")
    np.savez(folder / "figures/answers.npz", walls=walls, answers=answers, reason=np.asarray(verdict.reason))
    text, page = write(tmp_path, folder)
    assert "1 of 3 samples solve it" in page.text
    assert text.count('class="right"') == text.count('class="failed"') == 1
    # The way drawn is the way the verifier goes.
    for answer, reason, moves in zip(answers[0], verdict.reason[0], verdict.num_steps[0], strict=True):
        way = mazes.way(walls[0], answer, int(moves)).tolist()
        assert len(way) - 1 == int(moves)
        hit = int(reason) in (verifier.HIT_WALL, verifier.LEFT_GRID)
        assert (tuple(way[-1]) != tokens.positions(answer)[int(moves)]) == hit


def test_the_committed_page_holds_what_the_committed_runs_found():
    folder = ROOT / "results/imagenet_tiny"
    text = (folder / "report.html").read_text()
    lines = {line["label"]: line for line in drawn(text)["eval/pass@k, last, over k"]}
    groups = group(image_runs.find([folder / "runs"]))
    assert len(lines) == len(groups) == 7
    for one in groups:
        line, seeds = lines[one.label], np.array([record.coverage() for record in one.runs])
        error = seeds.std(axis=0, ddof=1) / np.sqrt(len(seeds))
        assert line["x"] == list(one.runs[0].coverage().index)
        np.testing.assert_allclose(line["value"], seeds.mean(axis=0), rtol=1e-4)
        np.testing.assert_allclose(line["high"], seeds.mean(axis=0) + error, rtol=1e-4)
