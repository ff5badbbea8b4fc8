"""Eight simulated devices give the result of one, and a run moves between them."""

import json
import shutil
import signal
import socket

import numpy as np
import pytest

from maxrl_jax.runs.folder.metric_writer import read_metrics
from tests.runs.runs import deterministic
from tests.runs.test_interruption import has_lines, wait_for

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


@pytest.fixture(scope="module")
def eight(toy, tmp_path_factory):
    """The same run on eight devices, parameters shared out over four, with every third step kept."""
    folder = tmp_path_factory.mktemp("eight") / "run"
    fields = ("mesh.fsdp=4", "checkpoint.every_steps=3", "checkpoint.max_to_keep=9")
    ended = toy.run(folder, *STEPS, *fields, devices=8, variant="tiny")
    assert ended.status == 0, ended.err
    return folder


def test_eight_devices_equal_one(one, eight):
    assert json.loads((eight / "environment.json").read_text())["devices"]["count"] == 8
    check_close(one, eight)


@pytest.mark.parametrize(("devices", "fsdp"), [(4, 2), (1, 1)])
def test_a_run_saved_on_eight_devices_continues_on_fewer(toy, one, eight, tmp_path, devices, fsdp):
    """From step 6, as if it had been killed before the next save was complete."""
    moved = tmp_path / "moved"
    shutil.copytree(eight, moved)
    for later in (9, 12):
        shutil.rmtree(moved / f"checkpoints/{later}")
    ended = toy.run(moved, *STEPS, f"mesh.fsdp={fsdp}", devices=devices, variant="tiny")
    assert ended.status == 0, ended.err
    assert f"resuming {moved} from train step 6" in ended.err
    assert f"resuming with mesh.fsdp changed from 4 to {fsdp}" in ended.err
    recorded = json.loads((moved / "environment.json").read_text())
    assert (recorded["devices"]["count"], recorded["earlier"][0]["devices"]["count"]) == (devices, 8)
    check_close(one, moved)
    assert np.array_equal(curve(moved, "train/loss")[:6], curve(eight, "train/loss")[:6])


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
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_two_processes_stop_together_and_continue(toy, one, tmp_path, signum):
    slow = ("sleep=0.5",)
    first, second = start_two(toy, tmp_path / "two", *slow)
    wait_for(first, lambda: has_lines(tmp_path / "two", "train/"))
    second.send_signal(signum)  # the preemption service tells the other one
    errors = [process.communicate(timeout=120)[1] for process in (first, second)]
    assert [first.returncode, second.returncode] == [128 + signal.SIGTERM, 128 + signum], errors
    assert f"{signum.name}: finishing the " in errors[1]
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
    assert err.splitlines()[-1] == (
        "error: process 0 of 2 was killed, or ended because another one died; the same command, on every host, resumes"
    )
    errors = [process.communicate(timeout=120)[1] for process in start_two(toy, tmp_path / "two", *slow)]
    assert "resuming" in errors[0]
    check_close(one, tmp_path / "two")
