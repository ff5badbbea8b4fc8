"""Killed at any instant, told to stop, or out of finite numbers: the run resumes to bitwise the same end."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from maxrl_jax.runs.folder.metric_writer import read_metrics
from maxrl_jax.runs.folder.stopping import StopRequest
from tests.runs.runs import deterministic

SLOWER = "sleep=0.05"  # seconds an evaluation takes longer: a wider window for the kill


def wait_for(process, condition, timeout=60):
    """Waits until the condition holds; False when the process ended before."""
    end = time.monotonic() + timeout
    while process.poll() is None and time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.0005)
    return False


def has_lines(folder, prefix, step=0):
    return any(r["step"] >= step and any(n.startswith(prefix) for n in r) for r in read_metrics(folder))


def is_saving(folder):
    with contextlib.suppress(OSError):
        return any("tmp" in name for name in os.listdir(folder / "checkpoints"))
    return False


def kill(process):
    process.kill()
    process.communicate()


def kill_at_random(toy, folder, chance, during_save):
    """One launch, killed; returns what it was doing, or "ended" when it was too fast."""
    process = toy.start(folder, SLOWER)
    if during_save:
        there = wait_for(process, lambda: is_saving(folder))
        time.sleep(chance.uniform(0, 0.01))
    else:
        size = os.path.getsize(folder / "metrics.jsonl") if (folder / "metrics.jsonl").exists() else 0
        there = wait_for(
            process, lambda: (folder / "metrics.jsonl").exists() and os.path.getsize(folder / "metrics.jsonl") != size
        )
        time.sleep(chance.uniform(0, 0.4))
    saving = is_saving(folder)
    alive = process.poll() is None
    kill(process)
    return "ended" if not (there and alive) else "saving" if saving else "stepping"


def check_equal(toy, folder, uninterrupted):
    ended = toy.run(folder, SLOWER)
    assert ended.status == 0, ended.err
    assert "broken" not in ended.err
    assert deterministic(folder) == deterministic(uninterrupted)


def test_killed_three_times_it_ends_as_if_nothing_had_happened(toy, uninterrupted, tmp_path):
    chance = random.Random(0)
    done = [kill_at_random(toy, tmp_path / "a", chance, during_save=i % 2 == 1) for i in range(3)]
    assert done.count("ended") < 3
    check_equal(toy, tmp_path / "a", uninterrupted)


@pytest.mark.slow
def test_killed_at_thirty_random_instants(toy, uninterrupted, tmp_path):
    chance, done, run = random.Random(1), [], 0
    while len(done) < 30:
        folder = tmp_path / str(run)
        for i in range(3):
            what = kill_at_random(toy, folder, chance, during_save=(run + i) % 2 == 1)
            if what == "ended":
                break
            done.append(what)
        check_equal(toy, folder, uninterrupted)
        run += 1
    assert done.count("saving") >= 5, done
    assert done.count("stepping") >= 5, done


@pytest.mark.parametrize("signum", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_saves_and_exits_and_the_same_command_continues(toy, uninterrupted, tmp_path, signum):
    process = toy.start(tmp_path / "a", "sleep=0.3")
    assert wait_for(process, lambda: has_lines(tmp_path / "a", "train/"))
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signum, err
    assert "Traceback" not in err
    said = rf"^{signum.name}: finishing the (call|evaluation|save).* train step \d+, then saved and ended; a second"
    assert re.search(said, err, re.MULTILINE)
    assert err.splitlines()[-1].startswith("stopped at train step ")
    assert err.splitlines()[-1].endswith(" and saved; the same command continues")
    ended = toy.run(tmp_path / "a", "sleep=0.3")
    assert ended.status == 0, ended.err
    assert f"resuming {tmp_path}/a from train step" in ended.err
    assert deterministic(tmp_path / "a") == deterministic(uninterrupted)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_a_call_is_acknowledged_within_a_second_and_a_second_one_ends_it(toy, tmp_path, signum):
    long = ("rl.steps=20000000", "chunk_steps=20000000", "eval.every_steps=0", "checkpoint.every_steps=0")
    process = toy.start(tmp_path / "a", *long, variant="tiny")
    while "train: compiling the step" not in process.stderr.readline():
        assert process.poll() is None
    time.sleep(3)  # into the call
    sent = time.monotonic()
    process.send_signal(signum)
    said = "finishing the call up to train step 20000000, then saved and ended; a second signal ends it at once"
    assert process.stderr.readline() == f"{signum.name}: {said}\n"
    assert time.monotonic() - sent < 1
    process.send_signal(signum)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 128 + signum, err
    assert err in ("interrupted\n", f"{signum.name} again: ended before the save\n")


UNSEEN = """
    "Waits for a lock of its own, in C: no signal ends that, and no Python handler runs before it returns."
    libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    threading.Timer(0.5, print, ["in"], {"flush": True}).start()
    libc.pthread_mutex_timedlock(mutex, (ctypes.c_long * 2)(int(time.time() + 60), 0))
"""
LOST = """
    class Swallows:  # as a callback of the garbage collector does
        def __del__(self):
            print("in", flush=True)
            time.sleep(60)
    Swallows()
    time.sleep(60)
"""


@pytest.mark.parametrize(("work", "second"), [(UNSEEN, signal.SIGTERM), (UNSEEN, signal.SIGINT), (LOST, signal.SIGINT)])
def test_a_second_signal_that_python_does_not_see_or_loses_ends_the_process_too(work, second):
    program = (
        "import ctypes, threading, time; from maxrl_jax.runs.folder.stopping import StopRequest\nwith StopRequest():"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program + work], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith("SIGINT: finishing the preparations")
    process.send_signal(second)
    out, err = process.communicate(timeout=20)
    assert (out, err.splitlines()[-1]) == ("", f"{second.name} again: ended before the save")
    assert process.returncode == 128 + second


OF_SEVERAL = """
import ctypes, jax, signal, time
from maxrl_jax.runs.folder.stopping import StopRequest
told = []
handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(told.append)  # in place of the preemption service's
ctypes.CDLL(None).signal(ctypes.c_int(signal.SIGTERM), handler)
jax.process_count = lambda: 2
for _ in range(2):
    with StopRequest():
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.2)
assert told == [signal.SIGTERM] * 2, told
"""


def test_each_run_of_a_process_among_several_tells_the_others():
    subprocess.run([sys.executable, "-c", OF_SEVERAL], check=True, timeout=60)


def test_signals_are_as_they_were_once_it_is_closed():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopRequest(lambda text: None) as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.signum == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert signal.set_wakeup_fd(-1) == -1
