"""Eight simulated devices give the result of one, and a run moves between them."""

import json
import socket

import numpy as np
import pytest

from maxrl_jax.training.metric_writer import read_metrics
from tests.training.runs import deterministic
from tests.training.test_interruption import has_lines, wait_for

# Parameters large enough to be shared out; a call of one step is one compile.
STEPS = ("rl.steps=12", "chunk_steps=1", "size=4096", "eval.every_steps=4")


def curve(folder, name):
    return np.array([r[name] for r in read_metrics(folder) if name in r])


@pytest.fixture(scope="module")
def one(toy, tmp_path_factory):
    """A run on one device, a step a call."""
    folder = tmp_path_factory.mktemp("one") / "run"
    ended = toy.run(folder, *STEPS, variant="tiny")
    assert ended.status == 0, ended.err
    return folder


def check_close(one, other):
    """Equal but for the order of sums: tight at the first step."""
    a, b = curve(one, "train/loss"), curve(other, "train/loss")
    assert len(a) == len(b) == 12
    assert abs(a[0] - b[0]) <= 1e-6 * abs(a[0])
    assert np.allclose(a, b, rtol=1e-4)
    assert np.allclose(curve(one, "eval/norm"), curve(other, "eval/norm"), rtol=1e-4)


def test_eight_devices_equal_one(toy, one, tmp_path):
    ended = toy.run(tmp_path / "eight", *STEPS, "mesh.fsdp=4", devices=8, variant="tiny")
    assert ended.status == 0, ended.err
    assert json.loads((tmp_path / "eight/environment.json").read_text())["devices"]["count"] == 8
    check_close(one, tmp_path / "eight")


def test_a_run_saved_on_eight_devices_continues_on_two_and_on_one(toy, one, tmp_path):
    for steps, devices, fsdp in ((6, 8, 4), (9, 2, 2), (12, 1, 1)):
        fields = (f"rl.steps={steps}", f"mesh.fsdp={fsdp}")
        ended = toy.run(tmp_path / "moved", *STEPS, *fields, devices=devices, variant="tiny")
        assert ended.status == 0, ended.err
    assert len(json.loads((tmp_path / "moved/environment.json").read_text())["earlier"]) == 2
    a, b = curve(one, "train/loss"), curve(tmp_path / "moved", "train/loss")
    assert len(b) == 12
    assert np.allclose(a, b, rtol=1e-4)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_two(toy, folder, *overrides, flags=()):
    flags = [*flags, f"--coordinator=127.0.0.1:{free_port()}", "--num_processes=2"]
    return [
        toy.start(folder, *STEPS, *overrides, variant="tiny", extra=[*flags, f"--process_id={i}"]) for i in range(2)
    ]


def test_two_processes_equal_one(toy, one, tmp_path):
    processes = start_two(toy, tmp_path / "two")
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert json.loads((tmp_path / "two/environment.json").read_text())["devices"]["processes"] == 2
    check_close(one, tmp_path / "two")
    assert deterministic(tmp_path / "two")[-1]["step"] == 12


@pytest.mark.slow
def test_two_processes_stop_together_and_continue(toy, one, tmp_path):
    slow = ("sleep=0.5",)
    first, second = start_two(toy, tmp_path / "two", *slow)
    wait_for(first, lambda: has_lines(tmp_path / "two", "train/"))
    second.terminate()  # the preemption service tells the other one
    errors = [process.communicate(timeout=120)[1] for process in (first, second)]
    assert [first.returncode, second.returncode] == [128 + 15, 128 + 15], errors
    assert errors[0].splitlines()[-1].startswith("stopped at train step ")
    errors = [process.communicate(timeout=120)[1] for process in start_two(toy, tmp_path / "two", *slow)]
    assert "resuming" in errors[0]
    check_close(one, tmp_path / "two")


@pytest.mark.slow
def test_a_killed_process_ends_the_run_with_a_clear_message_and_it_continues(toy, one, tmp_path):
    slow = ("sleep=0.5", "checkpoint.every_steps=2")
    first, second = start_two(toy, tmp_path / "two", *slow, flags=["--heartbeat_seconds=5"])
    wait_for(first, lambda: has_lines(tmp_path / "two", "train/", step=6))
    second.kill()
    second.communicate()
    _, err = first.communicate(timeout=120)
    assert first.returncode != 0
    assert "another task died" in err or "unhealthy" in err or "heartbeat" in err
    errors = [process.communicate(timeout=120)[1] for process in start_two(toy, tmp_path / "two", *slow)]
    assert "resuming" in errors[0]
    check_close(one, tmp_path / "two")
