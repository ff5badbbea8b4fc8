import json
import os
import subprocess
import sys

import pytest

from maxrl_jax.runs.config.errors import ConfigError
from maxrl_jax.runs.folder import resume
from maxrl_jax.runs.folder.metric_writer import read_metrics
from maxrl_jax.runs.folder.run import EXTENDABLE, open_run
from maxrl_jax.runs.loop.chunks import scan
from maxrl_jax.runs.loop.phase import Phase
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


def test_a_config_may_change_while_nothing_is_saved(tmp_path):
    """A run killed before its first checkpoint starts over."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/config.json").write_text(json.dumps({"seed": 5}))
    (tmp_path / "a/metrics.jsonl").write_text('{"step": 0, "train/loss": 9.0}\n')
    small.run(tmp_path / "a", num_steps=2)
    assert [r["step"] for r in read_metrics(tmp_path / "a") if "train/loss" in r] == [0, 1]
    assert read_metrics(tmp_path / "a")[0]["train/loss"] != 9.0


def test_a_second_process_in_the_folder_is_refused(tmp_path):
    code = (
        "import sys, time; from etils import epath; from maxrl_jax.runs.folder import resume\n"
        f"with resume.lock(epath.Path({str(tmp_path)!r})): print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="a folder in which no other process runs"):
            small.run(tmp_path)
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    small.run(tmp_path, num_steps=1)


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
