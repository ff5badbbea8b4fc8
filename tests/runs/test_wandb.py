"""W&B behind the writer: what it is told, and that it never stops a run."""

import json
import sys
import types

import pytest

from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.folder import wandb_writer
from maxrl_jax.runs.folder.metric_writer import read_metrics
from maxrl_jax.runs.folder.run import open_run
from maxrl_jax.runs.loop.chunks import scan
from maxrl_jax.runs.loop.phase import Every, Phase
from maxrl_jax.runs.loop.steps import run_steps
from tests.runs import small
from tests.runs.test_loop import Stop


class FakeRun:
    def __init__(self, fails_at=None):
        self.records, self.metrics, self.exit_code, self.fails_at = [], {}, None, fails_at

    def define_metric(self, name, step_metric=None, **keywords):
        self.metrics[name] = step_metric

    def log(self, record):
        if len(self.records) == self.fails_at:
            raise ConnectionError("the service is\ngone")
        self.records.append(record)

    def finish(self, exit_code):
        self.exit_code = exit_code


class Fake:
    """Stands for the wandb module; `started` holds the arguments and the run of every init."""

    def __init__(self, monkeypatch, fails_at=None, unreachable=()):
        self.started = []

        def init(**arguments):
            if arguments["mode"] in unreachable:
                raise TimeoutError("no network")
            self.started.append((arguments, FakeRun(fails_at)))
            return self.started[-1][1]

        module = types.ModuleType("wandb")
        module.__dict__.update(
            init=init,
            Table=lambda columns, data: (columns, data),
            plot=types.SimpleNamespace(line=lambda table, x, y, title: ("line", *table, x, y, title)),
            Settings=dict,
            Image=lambda path: f"image {path}",
            login=lambda prompt, verify: False,
        )
        monkeypatch.setitem(sys.modules, "wandb", module)
        monkeypatch.delenv("WANDB_MODE", raising=False)
        monkeypatch.delenv("WANDB_RUN_ID", raising=False)


def settings(**fields):
    return small.config(wandb__mode="offline", wandb__group="g", wandb__tags=("t",), **fields)


def test_it_mirrors_the_metrics_with_steps_of_its_own(tmp_path, monkeypatch):
    fake = Fake(monkeypatch)
    small.run(tmp_path / "a", settings(), num_steps=3, phases=[("sft", 2)])
    arguments, run = fake.started[0]
    assert (arguments["project"], arguments["group"], arguments["tags"]) == ("maxrl_jax", "g", ["t"])
    assert arguments["config"] == json.loads((tmp_path / "a/config.json").read_text())
    assert arguments["dir"] == str(tmp_path / "a")
    assert run.metrics["train/*"] == "train/step"
    assert run.metrics["sft/*"] == "sft/step"
    sent = [r for r in run.records if "train/loss" in r]
    assert [r["train/step"] for r in sent] == [0, 1, 2]
    lines = [r for r in read_metrics(tmp_path / "a") if "train/loss" in r]
    assert [r["train/loss"] for r in sent] == [r["train/loss"] for r in lines]
    assert run.exit_code == 0


def points(fake, name):
    """(step, value) of every point of a metric that any launch sent."""
    prefix = name.split("/")[0]
    return [(r[f"{prefix}/step"], r[name]) for _, run in fake.started for r in run.records if name in r]


def in_file(folder, name):
    return [(record["step"], record[name]) for record in read_metrics(folder) if name in record]


def test_speed_is_sent_after_a_kill_in_the_phase_before(tmp_path, monkeypatch):
    """perf/sft_... of late steps does not stand for perf/train_... of early ones."""
    fake = Fake(monkeypatch)
    with pytest.raises(Stop), open_run(settings(), tmp_path / "a", "small") as run:
        run_steps(run, Phase(name="sft", chunk=scan(small.step), num_steps=20, steps_per_call=2), small.initial())
        raise Stop
    small.run(tmp_path / "a", settings(), num_steps=12, phases=[("sft", 20)])
    for name in ("perf/train_seconds_per_step", "train/loss", "sft/loss"):
        assert points(fake, name) == in_file(tmp_path / "a", name), name


@pytest.mark.parametrize("unsent", [1, 9])
def test_lines_written_but_unsent_at_a_kill_are_sent_on_resume(unsent, tmp_path, monkeypatch):
    fake = Fake(monkeypatch)
    real = wandb_writer.WandbWriter.send
    sent = []

    def send(self, lines):
        """Dies, as a process does, while it sends."""
        for line in lines:
            if len(sent) == 10 - unsent:
                raise Stop
            sent.append(line)
            real(self, [line])

    monkeypatch.setattr(wandb_writer.WandbWriter, "send", send)
    with pytest.raises(Stop):
        small.run(tmp_path / "a", settings(checkpoint__every_steps=1), chunk_steps=1)
    monkeypatch.setattr(wandb_writer.WandbWriter, "send", real)
    small.run(tmp_path / "a", settings(checkpoint__every_steps=1), chunk_steps=1)
    assert points(fake, "train/loss") == in_file(tmp_path / "a", "train/loss")
    assert [step for step, _ in points(fake, "train/loss")] == list(range(12))


def test_killed_again_while_it_replays_no_step_is_sent_twice_and_the_id_survives(tmp_path, monkeypatch):
    fake = Fake(monkeypatch)
    save_once = {"checkpoint__every_steps": 100}
    for at in (8, 4, 6, 10):
        with pytest.raises(Stop):
            small.run(tmp_path / "a", settings(**save_once), every=[Every(2, stop_at(at))])
    small.run(tmp_path / "a", settings(**save_once))
    assert {arguments["id"] for arguments, _ in fake.started} == {(tmp_path / "a/wandb_id").read_text().strip()}
    assert {arguments["resume"] for arguments, _ in fake.started} == {"allow"}
    assert [run.exit_code for _, run in fake.started] == [1, 1, 1, 1, 0]
    assert [step for step, _ in points(fake, "train/loss")] == list(range(12))
    assert points(fake, "train/loss") == in_file(tmp_path / "a", "train/loss")


def stop_at(step):
    def stop(state, at):
        if at == step:
            raise Stop

    return stop


def test_wandb_turned_on_later_gets_the_whole_run(tmp_path, monkeypatch):
    fake = Fake(monkeypatch)
    with pytest.raises(Stop):
        small.run(tmp_path / "a", small.config(), every=[Every(2, stop_at(8))])
    small.run(tmp_path / "a", settings())
    assert [step for step, _ in points(fake, "train/loss")] == list(range(12))


def test_a_replay_that_goes_another_way_is_sent(tmp_path, monkeypatch):
    """With fewer lines logged after a kill, only those that were sent are left out."""
    fake = Fake(monkeypatch)
    with pytest.raises(Stop):
        small.run(tmp_path / "a", settings(), every=[Every(2, stop_at(6))])
    small.run(tmp_path / "a", settings(log__every_steps=3))
    steps = [step for step, _ in points(fake, "train/loss")]
    assert steps == sorted(set(steps))
    assert {0, 1, 2, 3, 4, 5, 6, 9, 11} <= set(steps)


def test_pass_at_k_is_a_curve_over_k(tmp_path, monkeypatch):
    fake = Fake(monkeypatch)
    values = {"eval/pass@4": 0.4, "eval/pass@1": 0.1, "eval/pass@16": 0.5, "eval/best@2": 1.0}
    small.run(tmp_path / "a", settings(), num_steps=2, every=[Every(2, lambda state, step: values)])
    (sent,) = [r for r in fake.started[0][1].records if "eval/pass@1" in r]
    rows = [[1, 0.1], [4, 0.4], [16, 0.5]]
    assert sent["eval/pass@k over k"] == ("line", ["k", "pass@k"], rows, "k", "pass@k", "pass@k over k after 2 steps")
    assert "eval/best@k over k" not in sent


def test_the_agents_id_is_taken(tmp_path, monkeypatch):
    fake = Fake(monkeypatch)
    monkeypatch.setenv("WANDB_RUN_ID", "from-agent")
    small.run(tmp_path / "a", settings(), num_steps=1)
    assert fake.started[0][0]["id"] == "from-agent"


def test_a_failure_is_said_once_and_training_goes_on(tmp_path, monkeypatch, capsys):
    whole = small.run(tmp_path / "whole")[1]
    fake = Fake(monkeypatch, fails_at=3)
    assert small.run(tmp_path / "a", settings())[1] == whole
    said = capsys.readouterr().err
    assert said.count("W&B failed and is left out of the rest of this run (the service is gone)") == 1
    assert len(fake.started[0][1].records) == 3


def test_unreachable_online_goes_on_offline(tmp_path, monkeypatch, capsys):
    fake = Fake(monkeypatch, unreachable=("online",))
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    small.run(tmp_path / "a", small.config(wandb__mode="online"), num_steps=2)
    assert [arguments["mode"] for arguments, _ in fake.started] == ["offline"]
    assert "W&B cannot be reached (no network); logging offline" in capsys.readouterr().err


def test_the_variable_goes_before_the_config(monkeypatch):
    Fake(monkeypatch)
    assert wandb_writer.mode(settings()) == "offline"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_writer.mode(settings()) == "disabled"
    monkeypatch.setenv("WANDB_MODE", "dryrun")
    with pytest.raises(ConfigError, match="WANDB_MODE: got 'dryrun'"):
        wandb_writer.mode(settings())
    monkeypatch.delenv("WANDB_MODE")
    with pytest.raises(ConfigError, match=r"wandb\.mode: got 'online', allowed: offline or disabled"):
        wandb_writer.mode(small.config(wandb__mode="online"))


def test_lists_are_sent_as_means_and_every_figure_of_the_run_once_at_the_end(tmp_path, monkeypatch):
    fake = Fake(monkeypatch)
    with open_run(settings(), tmp_path / "a", "small") as run:
        state = run_steps(run, Phase(name="train", chunk=scan(small.step), num_steps=2), small.initial())
        for name in ("mazes.png", "curves.png"):
            with run.figure_file(name) as path, open(path, "wb") as file:
                file.write(name.encode())
        run.log(1, {"eval/pass": [0.0, 1.0]})
        run.log_image(1, "eval/mazes", run.figures / "mazes.png")
        run.finish(state["params"])
    assert {"eval/step": 1, "eval/pass": 0.5} in fake.started[0][1].records
    assert (tmp_path / "a/figures/curves.png").read_bytes() == b"curves.png"
    images = {name: v for r in fake.started[0][1].records for name, v in r.items() if str(v).startswith("image")}
    assert images == {
        "eval/mazes": f"image {tmp_path}/a/figures/mazes.png",
        "figures/curves": f"image {tmp_path}/a/figures/curves.png",
    }
    assert {"figures/step": 2}.items() <= fake.started[0][1].records[-2].items()


def test_an_older_package_is_asked_for_its_key(monkeypatch):
    def login(verify):
        raise AssertionError("asked without prompt=False")

    Fake(monkeypatch)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    for key in ("k" * 40, None):
        sys.modules["wandb"].__dict__.update(login=login, api=types.SimpleNamespace(api_key=key))
        assert wandb_writer._has_key() == bool(key)


@pytest.mark.slow
def test_the_real_package_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    small.run(tmp_path / "a", settings(), num_steps=4)
    small.run(tmp_path / "a", settings(), num_steps=8)
    folders = list((tmp_path / "a/wandb").glob("offline-run-*"))
    assert len(folders) == 2
    run_id = (tmp_path / "a/wandb_id").read_text().strip()
    assert all(folder.name.endswith(run_id) for folder in folders)
