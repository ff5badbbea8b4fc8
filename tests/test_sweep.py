import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import yaml

from experiments.sweep import __main__ as sweep
from experiments.sweep import check, grid, runner, summary
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.command_line import exit_with
from maxrl_jax.runs.config.load import load
from maxrl_jax.runs.folder.metric_writer import encode, read_metrics

ROOT = pathlib.Path(__file__).resolve().parents[1]
CONFIG = "tests/runs/toy_config.py"


def test_points_are_the_product_of_grids_and_seeds():
    points = grid.points(["rl.advantage.name=maxrl,grpo", "rl.num_rollouts=4,8"], seeds=3)
    assert len(points) == 12
    assert points[0].folder == "rl.advantage.name=maxrl,rl.num_rollouts=4,seed=0"
    assert points[-1].folder == "rl.advantage.name=grpo,rl.num_rollouts=8,seed=2"
    assert points[-1].overrides == [
        "--config.rl.advantage.name=grpo", "--config.rl.num_rollouts=8", "--config.seed=2",
    ]  # fmt: skip
    assert len({point.folder for point in points}) == 12
    assert grid.points([], seeds=2)[1].folder == "all,seed=1"


def test_values_may_hold_brackets_and_change_together():
    assert [dict(p)["a"] for p in grid.parse("a=(1,2),(3,4),5")] == ["(1,2)", "(3,4)", "5"]
    together = grid.parse("rl.advantage.name+rl.advantage.k=maxpo+4,rloo+None")
    assert together == [
        (("rl.advantage.name", "maxpo"), ("rl.advantage.k", "4")),
        (("rl.advantage.name", "rloo"), ("rl.advantage.k", "None")),
    ]
    assert grid.points(["config.rl.steps=(1,2)"], 1)[0].folder == "rl.steps=_1,2_,seed=0"


GOOD = ["--experiment=tests.cheap_driver", f"--config={ROOT / CONFIG}", "--workdir=W"]


def status(arguments):
    """The exit status of the command."""
    with pytest.raises(SystemExit) as exit:
        exit_with(sweep.main, arguments)
    return exit.value.code


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (["--experiment=tests.cheap_driver", "--config=x.py", "--workdir=W"], "--config"),
        (["--experiment=tests.cheap_driver", f"--config={ROOT / CONFIG}"], "--workdir"),
        ([f"--config={ROOT / CONFIG}", "--workdir=W"], "--experiment"),
        ([*GOOD, "--experiment=bandt"], "--experiment"),
        ([*GOOD, f"--workdir={__file__}"], "--workdir"),
        ([*GOOD, "--workdir=gs://bucket/sweep"], "--workdir"),
        ([*GOOD, "--jobs=0"], "--jobs"),
        ([*GOOD, "--seeds=0"], "--seeds"),
        ([*GOOD, "--grid=rl.steps"], "--grid"),
        ([*GOOD, "--grid=rl.steps=1,1"], "--grid"),
        ([*GOOD, "--grid=a+b=1,2"], "--grid"),
        ([*GOOD, "--grid=rl.steps=1", "--grid=rl.steps=2"], "--grid"),
        ([*GOOD, "--grid=seed=1,2"], "--grid"),
        ([*GOOD, "--grid=wandb.group=a/b,a b"], "--grid"),
        ([*GOOD, "--part=2/2"], "--part"),
        ([*GOOD, "--seed=3"], "--seed"),
        # A field that the sweep varies and the command line fixes: one of the two would be lost.
        ([*GOOD, "--config.seed=7"], "--config.seed"),
        ([*GOOD, "--grid=rl.steps=1,2", "--config.rl.steps=3"], "--config.rl.steps"),
        ([*GOOD, "--grid=deterministic=True", "--noconfig.deterministic"], "--config.deterministic"),
    ],
)
def test_wrong_settings_end_the_sweep_before_it_starts(arguments, key, capsys):
    assert status(arguments) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(rf"error: {re.escape(key)}: got .*, allowed: .*\n", said), said
    assert not os.path.exists("W")


@pytest.mark.parametrize(
    ("grids", "said"),
    [
        # A field that no config has; a type; a combination that only the driver's own check knows.
        (["rl.stps=1,2"], r"rl\.stps: got an unknown field, allowed: .* \(in the run rl\.stps=1,seed=0\)"),
        (
            ["rl.num_rollouts=4,8", "rl.steps=3,-1"],
            r"rl\.steps: got -1, allowed: .* \(in the run rl\.num_rollouts=4,rl\.steps=-1,seed=0\)",
        ),
    ],
)
def test_every_run_is_checked_as_its_driver_would_before_any_starts(grids, said, tmp_path, capsys):
    arguments = [*GOOD, f"--workdir={tmp_path}/W", "--seeds=2", *(f"--grid={text}" for text in grids)]
    assert status(arguments) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(f"error: {said}\n", error), error
    assert not (tmp_path / "W").exists()


@pytest.mark.parametrize("grid", ["rl.learning_rate=0.1,1e-1", "wandb.tags=('a','b'),( 'a', 'b' )"])
def test_a_run_given_twice_is_refused_however_it_is_written(grid, tmp_path, capsys):
    assert status([*GOOD, f"--workdir={tmp_path}/W", f"--grid={grid}"]) == 2
    assert re.match(
        r"error: --grid: got '.*', allowed: each value once \(it is the same run as ", capsys.readouterr().err
    )
    assert not (tmp_path / "W").exists()


def test_a_check_that_is_broken_shows_its_traceback():
    with pytest.raises(RuntimeError, match=r"(?s)the check of no\.such failed:.*ModuleNotFoundError"):
        check.check("no.such", {"a": []}, os.environ)


def test_parts_cover_the_sweep_once():
    points = grid.points(["a=1,2,3"], seeds=3)
    parts = [grid.part(points, f"{i}/4") for i in range(4)]
    assert sorted([point for part in parts for point in part], key=points.index) == points
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert grid.part(points, "") == points


def command(workdir, *extra):
    return [
        sys.executable, "-m", "experiments.sweep", "--experiment=tests.cheap_driver", f"--config={CONFIG}",
        f"--workdir={workdir}", *extra,
    ]  # fmt: skip


def run(workdir, *extra):
    return subprocess.run(command(workdir, *extra), cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


def test_a_sweep_runs_everything_once_lists_failures_and_sums_up(tmp_path):
    extra = ["--grid=rl.learning_rate=1.0,13.0", "--seeds=2", "--jobs=2"]
    ended = run(tmp_path, *extra)
    assert ended.returncode == 1, ended.stderr
    failed = [line for line in ended.stderr.splitlines() if line.startswith("failed: ")]
    assert [line.split(":")[1].strip() for line in failed] == [
        f"rl.learning_rate=13.0,seed={seed}" for seed in range(2)
    ]
    assert all("RuntimeError: an unlucky number" in line for line in failed)
    table = pd.read_csv(tmp_path / "table.csv")
    # last value: learning_rate * 2 + seed, over seeds 0 and 1
    assert table.label.tolist() == ["rl.learning_rate=1.0"]
    assert table.metric.unique().tolist() == ["eval/pass@1"]
    assert np.allclose(table["mean"], [2.5])
    assert np.allclose(table.standard_error, 0.5)
    assert table.n.tolist() == [2]
    assert "| rl.learning_rate=1.0 | 2.5 ± 0.5 | 2 |" in ended.stdout
    assert (tmp_path / "table.md").read_text().strip() in ended.stdout
    curves = pd.read_csv(tmp_path / "curves.csv")
    assert curves["mean"].tolist() == [0.5, 1.5, 2.5]
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "figure.svg").stat().st_size > 1000
    # Again: what is finished is left alone, what failed is tried again.
    again = run(tmp_path, *extra, "--metric=train/loss")
    assert again.returncode == 1
    assert "2 of 4 runs finished before" in again.stdout
    assert "| run | train/loss | n |" in again.stdout
    starts = {path.parent.name: len(path.read_text()) for path in tmp_path.glob("*/starts.txt")}
    assert starts == {f"rl.learning_rate={rate}.0,seed={s}": n for rate, n in ((1, 1), (13, 2)) for s in range(2)}


def kill_when(arguments, signum, condition):
    """Starts a sweep and, once the condition holds, kills it; with SIGKILL its runs at the same instant too."""
    process = subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    end = time.monotonic() + 300
    while not condition() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.02)
    assert process.poll() is None, "the sweep ended before it could be killed"
    if signum == signal.SIGKILL:
        os.killpg(process.pid, signum)
    else:
        process.send_signal(signum)
    process.wait(timeout=60)
    assert process.returncode != 0


@pytest.mark.slow
def test_killed_twice_every_run_is_done_exactly_once(tmp_path):
    extra = ["--grid=rl.learning_rate=0.0,1.0", "--grid=rl.num_rollouts=1,2", "--jobs=2", "--config.sleep=0.1"]
    for signum, done in ((signal.SIGKILL, 1), (signal.SIGTERM, 2)):
        kill_when(command(tmp_path, *extra), signum, lambda done=done: len(list(tmp_path.glob("*/ends.txt"))) >= done)
    ended = run(tmp_path, *extra)
    assert ended.returncode == 0, ended.stderr
    ends = [path.read_text() for path in tmp_path.glob("*/ends.txt")]
    assert ends == ["x"] * 4
    for folder in (path.parent for path in tmp_path.glob("*/ends.txt")):
        assert [r["step"] for r in read_metrics(folder)] == [0, 1, 2, 3]
    assert len(pd.read_csv(tmp_path / "table.csv")) == 4


def test_runs_die_with_a_killed_sweep(tmp_path):
    process = subprocess.Popen(
        command(tmp_path, "--config.sleep=100"), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    started = tmp_path / "all,seed=0/starts.txt"
    end = time.monotonic() + 60
    while not started.exists() and time.monotonic() < end:
        time.sleep(0.02)
    process.kill()
    process.wait()
    ended = run(tmp_path, "--config.sleep=0")  # waits for the folder, which the dying run holds
    assert ended.returncode == 0, ended.stderr
    assert started.read_text() == "xx"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_acknowledged_and_passed_on_each_time(tmp_path, monkeypatch, signum):
    """The first asks runs to save, the second ends those that go on."""
    program = (
        "import signal, time\nsignal.signal(15, lambda *_: print(signal.signal(15, 0) and 'told', flush=True))\n"
        "print('up', flush=True)\nwhile True:\n    time.sleep(0.01)"
    )
    monkeypatch.setattr(runner, "_command", lambda job: [sys.executable, "-c", program])
    jobs, said = [runner.Job(name, tmp_path / name, "experiments.maze", []) for name in "ab"], []

    def say(text):
        said.append(text)
        if text in ("a: up", "a: told"):
            signal.raise_signal(signum)

    with pytest.raises(runner.Stopped, match=f"stopped by {signal.Signals(signum).name}; the same command continues"):
        runner.run_all(jobs, 1, say, echo=True)
    name = signal.Signals(signum).name
    assert said[1] == f"{name}: 1 runs finish their call, save and end; a second one ends them at once"
    assert [job.status for job in jobs] == ["failed", "waiting"] and jobs[0].exit_status == -signal.SIGTERM


def test_what_a_run_says_is_passed_on_and_ctrl_c_is_not(tmp_path, monkeypatch):
    """A run leads a session of its own: the terminal's SIGINT reaches the sweep alone, which tells its runs once."""
    program = "import os; print('one'); print(os.getsid(0) == os.getpid()); print('cut', end='')"
    monkeypatch.setattr(runner, "_command", lambda job: [sys.executable, "-c", program])
    (tmp_path / "a").mkdir()
    (tmp_path / "a/log.txt").write_text("of a launch before\n")
    job, said = runner.Job("a", tmp_path / "a", "experiments.maze", []), []
    runner.run_all([job], 1, said.append, echo=True)
    assert said[:2] == ["a: one", "a: True"]
    assert said[2].startswith("[1/1] a: failed after")
    assert (job.status, job.exit_status, job.reason) == ("failed", 0, "ended without its last line")


def test_the_terminal_shows_the_first_metrics_and_the_file_has_all(tmp_path):
    point = grid.Point((), 0)
    lines = [encode(step, {f"eval/{i}": i * step for i in range(9)}) for step in (0, 1)]
    (tmp_path / "metrics.jsonl").write_text("".join(line + "\n" for line in lines))
    said = summary.write(tmp_path, [(point, tmp_path)])
    assert "| all | 0 | 1 | 2 | 3 | 4 | 5 | 1 |\n(3 more metrics in table.md)" in said
    assert "| all | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 1 |" in (tmp_path / "table.md").read_text()
    assert summary.choose(summary.read_curves([(point, tmp_path)]), "eval/3,eval/absent") == ["eval/3"]
    assert "(no run has eval/absent)" in summary.write(tmp_path, [(point, tmp_path)], "eval/3,eval/absent")


def runs_with(folder, *runs):
    """Run folders, one a seed, with the given ``{step: values}``."""
    made = []
    for seed, records in enumerate(runs):
        path = folder / str(seed)
        path.mkdir()
        lines = [encode(step, values) for step, values in records.items()]
        (path / "metrics.jsonl").write_text("".join(line + "\n" for line in lines))
        made.append((grid.Point((), seed), path))
    return made


def last_values(folder, *runs):
    """The final table: {metric: (mean, n)}."""
    curves = summary.read_curves(runs_with(folder, *runs))
    table = summary.final_table(curves, summary.choose(curves, ""))
    return {row.metric: (row["mean"], row.n) for _, row in table.iterrows()}


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        # The last evaluation solved nothing, so it has no -log pass@1; the one before does not stand in for it.
        ({0: {"eval/pass@1": 0.5, "eval/neg_log": 0.7}, 9: {"eval/pass@1": 0.0}}, {"eval/pass@1": (0.0, 1)}),
        ({0: {"eval/a": 1.0, "eval/b": 2.0}, 9: {"eval/a": 3.0, "eval/b": math.nan}}, {"eval/a": (3.0, 1)}),
        ({0: {"eval/a": [1.0, 2.0]}, 9: {"eval/a": [None, None], "eval/b": 4.0}}, {"eval/b": (4.0, 1)}),
        # Each phase has its own last step.
        ({3: {"eval/a": 1.0}, 8: {"train/loss": 2.0}}, {"eval/a": (1.0, 1)}),
    ],
)
def test_last_values_are_of_the_last_step(records, expected, tmp_path):
    assert last_values(tmp_path, records) == expected


def test_a_seed_without_the_last_value_is_told_not_filled_in(tmp_path):
    one, two = {4: {"eval/a": 1.0, "eval/b": 5.0}}, {2: {"eval/b": 9.0}, 4: {"eval/a": 3.0}}
    assert last_values(tmp_path, one, two) == {"eval/a": (2.0, 2), "eval/b": (5.0, 1)}
    runs = [(grid.Point((), seed), tmp_path / str(seed)) for seed in (0, 1)]
    assert "| all | 2 ± 1 | 5 (n=1) | 2 |" in summary.write(tmp_path, runs)


def test_help_says_what_the_command_is_and_its_flags(capsys):
    assert status(["--help"]) == 0
    said = capsys.readouterr().out
    assert "Runs a sweep: a grid over config fields times seeds" in said
    assert all(flag in said for flag in ("--experiment", "--grid", "--seeds", "--part", "--metric"))


@pytest.mark.parametrize("path", sorted((ROOT / "configs/sweeps").glob("*.yaml")), ids=lambda path: path.name)
def test_wandb_sweep_files_drive_the_flags(path):
    settings = yaml.safe_load(path.read_text())
    line = settings["command"]
    assert line[:4] == ["${env}", "${interpreter}", "-m", settings["program"]]
    assert line[-1] == "${args}"
    assert any(part.startswith("--workdir=") and part.endswith("/$WANDB_RUN_ID") for part in line)
    assert "--config.wandb.mode=online" in line
    (spec,) = [part.removeprefix("--config=") for part in line if part.startswith("--config=")]
    for name, parameter in settings["parameters"].items():
        assert name.startswith("config.")
        values = parameter.get("values") or [parameter[key] for key in ("value", "min", "max") if key in parameter]
        assert values, name
        for value in values:
            load(str(ROOT / spec.partition(":")[0]) + ":" + spec.partition(":")[2], {name[7:]: value})
    assert settings["metric"]["name"].startswith(("train/", "eval/"))
    with pytest.raises(ConfigError):
        load(str(ROOT / spec.partition(":")[0]), {"no.such": 1})
