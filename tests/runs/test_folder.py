import errno
import json
import os
import re
import sys

import pytest
from etils import epath

from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.folder import resume
from maxrl_jax.runs.folder.metric_writer import read_metrics
from maxrl_jax.runs.folder.run import EXTENDABLE, open_run
from maxrl_jax.runs.loop.chunks import scan
from maxrl_jax.runs.loop.phase import Every, Phase
from maxrl_jax.runs.loop.steps import run_steps
from tests.runs import small


def test_config_and_environment_are_recorded_at_every_launch(tmp_path):
    settings = small.config(seed=7, wandb__tags=("a", "b"))
    small.run(tmp_path / "a", settings, num_steps=2)
    small.run(tmp_path / "a", settings, num_steps=2)
    config = json.loads((tmp_path / "a/config.json").read_text())
    assert config["seed"] == 7
    assert config["wandb"]["tags"] == ["a", "b"]
    environment = json.loads((tmp_path / "a/environment.json").read_text())
    assert {"jax", "jaxlib", "numpy", "optax", "orbax-checkpoint"} <= set(environment["versions"])
    assert environment["devices"]["platform"] == "cpu"
    assert environment["command"] == sys.argv
    assert len(environment["earlier"]) == 1
    assert environment["earlier"][0]["versions"] == environment["versions"]


def test_a_change_of_logging_and_saving_is_said_and_accepted(tmp_path, capsys):
    small.run(tmp_path / "a", num_steps=4)
    small.run(tmp_path / "a", small.config(log__every_steps=3, wandb__group="g"), num_steps=4)
    said = capsys.readouterr().err
    assert "resuming with log.every_steps changed from 1 to 3" in said
    assert "resuming with wandb.group changed from '' to 'g'" in said


def test_a_change_of_anything_else_is_refused(tmp_path):
    small.run(tmp_path / "a", num_steps=4)
    with pytest.raises(ConfigError) as error:
        small.run(tmp_path / "a", small.config(seed=1, deterministic=True), num_steps=4)
    assert str(error.value) == (
        "deterministic: got True, allowed: False, with which this --workdir was started (or another --workdir); "
        "changed too: seed"
    )


BEFORE = {"seed": 0, "steps": 100, "rl": {"steps": 10, "k": [1, 2]}, "log": {"every_steps": 1}}


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ({"steps": 200}, True),
        ({"steps": 50}, False),
        ({"rl": {"steps": 11, "k": [1, 2]}}, True),
        ({"rl": {"steps": 10, "k": [1, 3]}}, False),
        ({"log": {"every_steps": 5}}, True),
        ({"new": 1}, False),
        ({"logs": 1}, False),
    ],
)
def test_what_may_change(change, allowed):
    if allowed:
        assert resume.changes(BEFORE, {**BEFORE, **change}, EXTENDABLE)
    else:
        with pytest.raises(ConfigError):
            resume.changes(BEFORE, {**BEFORE, **change}, EXTENDABLE)
    with pytest.raises(ConfigError, match=r"^seed: got no such field, allowed: 0"):
        resume.changes(BEFORE, {k: v for k, v in BEFORE.items() if k != "seed"}, EXTENDABLE)


def rates(steps, **optimizer):
    return {"steps": steps, "rl": {"steps": steps, "optimizer": optimizer}, "optimizer": optimizer}


def test_steps_that_the_learning_rate_depends_on_do_not_grow():
    """20 steps and then 20 more of a cosine over 40 would go at rates that no single run has."""
    before, now = rates(20, schedule="cosine"), rates(40, schedule="cosine")
    with pytest.raises(ConfigError, match=r"^rl\.steps: got 40, allowed: 20, .*more would change the learning rate"):
        resume.changes(before, now, EXTENDABLE)
    assert resume.changes(before, before, EXTENDABLE) == {}
    for constant in ({"schedule": "constant", "warmup_steps": 5}, {}):
        changed = resume.changes(rates(20, **constant), rates(40, **constant), EXTENDABLE)
        assert changed == {"steps": (20, 40), "rl.steps": (20, 40)}
    sft = {"sft": {"steps": 5, "optimizer": {"schedule": "cosine"}}, "rl": {"steps": 5}}
    assert resume.changes(sft, {**sft, "rl": {"steps": 6}}, EXTENDABLE) == {"rl.steps": (5, 6)}


@pytest.mark.parametrize("name", ["[a]", "what?"])
def test_a_folder_that_reads_as_a_pattern_is_refused_before_anything_runs(name, tmp_path):
    with pytest.raises(ConfigError, match="a path without"):
        small.run(tmp_path / name)
    with pytest.raises(ConfigError, match="a path without"):
        small.run(tmp_path / name / "inside")
    assert list(tmp_path.iterdir()) == []


def test_any_other_folder_works_and_resumes(tmp_path):
    name = 'a "b" 実験 #1;&$x'
    whole = small.run(tmp_path / "whole", num_steps=8)[1]
    small.run(tmp_path / name / "run", num_steps=4)
    assert small.run(tmp_path / name / "run", num_steps=8)[1] == whole
    assert not (tmp_path / name / "run/broken").exists()


def test_a_checkpoint_moved_into_a_folder_with_brackets_is_still_read(tmp_path):
    given = small.run(tmp_path / "given", num_steps=8)[0]
    (tmp_path / "given").rename(tmp_path / "[given]")
    settings = small.config(checkpoint__init_from=str(tmp_path / "[given]"))
    assert (small.run(tmp_path / "new", settings, num_steps=0)[0]["params"]["w"] == given["params"]["w"]).all()
    assert read_metrics(tmp_path / "[given]")[-1]["step"] == 8


def fail(path):
    raise RuntimeError("latex could not\nbe found")


def never_written(path):
    return None


@pytest.mark.parametrize("draw", [fail, never_written])
def test_a_drawing_that_fails_is_one_line_and_the_run_is_finished(draw, tmp_path, capsys):
    for _ in range(2):  # the same again when the run is started again
        with open_run(small.config(), tmp_path / "a", "small") as run:
            state = run_steps(run, Phase(name="train", chunk=scan(small.step), num_steps=2), small.initial())
            with run.figure_file("curves.png") as path:
                draw(path)
            with run.figure_file("good.png") as path, open(path, "wb") as file:
                file.write(b"picture")
            run.finish(state["params"])
        said = [line for line in capsys.readouterr().err.splitlines() if "could not be made" in line]
        assert len(said) == 1
        assert said[0].startswith("figures/curves.png could not be made (")
        assert resume.finished(tmp_path / "a")
        assert [path.name for path in (tmp_path / "a/figures").iterdir()] == ["good.png"]


def test_an_interrupt_while_drawing_is_not_swallowed(tmp_path):
    with (
        open_run(small.config(), tmp_path / "a", "small") as run,
        pytest.raises(KeyboardInterrupt),
        run.figure_file("x.png"),
    ):
        raise KeyboardInterrupt


def test_a_run_ends_with_what_it_found_and_where_it_is(tmp_path, capsys):
    def evaluate(state, step):
        return {"eval/pass@1": step / 10, "eval/pass@4": step / 5, "eval/shortest": 1.0}

    every = [Every(2, evaluate, at_start=True)]
    small.run(tmp_path / "a", num_steps=4, every=every)
    for first, last in ((0, 4), (0, 4)):
        said = capsys.readouterr().err
        assert f"step {first} " in said
        assert re.search(rf"step {last}\b", said)
        assert re.search(r"pass@4 +. +0 . +0\.8 ", said)
        assert f"metrics: {tmp_path}/a/metrics.jsonl" in said
        small.run(tmp_path / "a", num_steps=4, every=every)
    assert "small train 4/4 evaluated:" not in said  # the second time nothing was left to evaluate


def test_a_config_may_change_while_nothing_is_saved(tmp_path):
    """A run killed before its first checkpoint starts over."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/config.json").write_text(json.dumps({"seed": 5}))
    (tmp_path / "a/metrics.jsonl").write_text('{"step": 0, "train/loss": 9.0}\n')
    small.run(tmp_path / "a", num_steps=2)
    assert [r["step"] for r in read_metrics(tmp_path / "a") if "train/loss" in r] == [0, 1]
    assert read_metrics(tmp_path / "a")[0]["train/loss"] != 9.0


def test_a_second_process_in_the_folder_is_refused(tmp_path):
    with resume.lock(epath.Path(tmp_path)), pytest.raises(ConfigError, match="a folder in which no other process runs"):
        small.run(tmp_path)
    small.run(tmp_path, num_steps=1)


def test_a_file_system_without_locks_is_used_and_a_fault_of_one_is_named(tmp_path, monkeypatch):
    def flock(code):
        def fails(*_):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr("fcntl.flock", fails)

    flock(errno.ENOLCK)
    with resume.lock(epath.Path(tmp_path)):
        pass
    flock(errno.EIO)
    with pytest.raises(ConfigError, match="a folder that can be locked"), resume.lock(epath.Path(tmp_path)):
        pass


@pytest.mark.skipif(not os.path.isdir("/proc/1"), reason="needs a folder that nobody can write")
def test_a_folder_that_cannot_be_written_is_named():
    with pytest.raises(ConfigError, match=r"^--workdir: got '/proc/1/run', allowed: a folder that can be written"):
        small.run("/proc/1/run")


def test_what_is_logged_before_the_restored_step_is_not_logged_twice(tmp_path):

    def once(num_steps):
        with open_run(small.config(), tmp_path / "a", "small") as run:
            run.log(0, {"eval/before": 1.0})
            phase = Phase(name="train", chunk=scan(small.step), num_steps=num_steps, steps_per_call=2)
            state = run_steps(run, phase, small.initial())
            run.log(num_steps, {"eval/after": 2.0})
            run.finish(state["params"], solved=0.5)

    once(8)
    before = (tmp_path / "a/metrics.jsonl").read_text()
    once(8)
    assert (tmp_path / "a/metrics.jsonl").read_text() == before
    assert read_metrics(tmp_path / "a")[-1]["final/solved"] == 0.5


def test_a_checkpoint_that_no_phase_restores_is_an_error(tmp_path):
    small.run(tmp_path / "a", num_steps=4)
    with (
        pytest.raises(RuntimeError, match="its checkpoint of train step 4 was never restored"),
        open_run(small.config(), tmp_path / "a", "small") as run,
    ):
        run.finish({})
    with pytest.raises(RuntimeError, match="the run's checkpoint is of train step 4, and the run begins with sft"):
        small.run(tmp_path / "a", num_steps=4, phases=[("sft", 2)])
