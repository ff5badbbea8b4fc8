"""Starts runs as processes, several at a time, and says how each ended."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from etils import epath

from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.folder import inputs, resume

_POLL_SECONDS = 0.05


@dataclasses.dataclass
class Job:
    """One run and what became of it.

    Attributes:
        module: its driver.
        arguments: of the driver.
        status: waiting, running, finished, skipped (finished before), failed, stopped.
        reason: the last line of a failed run's log.
        exit_status: of its process; None while there is none.
    """

    name: str
    folder: pathlib.Path
    module: str
    arguments: Sequence[str]
    status: str = "waiting"
    reason: str = ""
    exit_status: int | None = None


class Stopped(Exception):
    """The sweep was told to stop; its runs have saved and ended.

    Attributes:
        signum: the signal.
    """

    def __init__(self, signum: int):
        super().__init__(f"stopped by {signal.Signals(signum).name}; the same command continues")
        self.signum = signum


def skip_finished(jobs: Sequence[Job], settings: Sequence[Mapping[str, Any]]) -> None:
    """Marks the jobs whose folder holds a finished run of the same config (`resume.FREE` aside) and the same inputs."""
    for job, wanted in zip(jobs, settings, strict=True):
        if resume.finished(job.folder):
            before = json.loads((job.folder / "config.json").read_text())
            try:
                resume.changes(before, wanted)
                inputs.check(job.folder, inputs.digests(wanted))
            except ConfigError:
                continue  # the driver resumes it, or says which field or file cannot change
            job.status = "skipped"


def run_all(jobs: Sequence[Job], parallel: int, say: Callable[[str], None] = print, *, echo: bool = False) -> None:
    """Runs the jobs that are waiting, at most ``parallel`` at a time, and sets their status.

    A run that was interrupted resumes in its folder. With CUDA_VISIBLE_DEVICES listing several devices, each
    of the parallel places gets its own. With ``echo`` what the runs say is said too, each line after its run's name.

    Raises:
        Stopped: SIGTERM or SIGINT; the running jobs were told to save and have ended.
    """
    todo = [job for job in jobs if job.status == "waiting"]
    if len(todo) < len(jobs):
        say(f"{len(jobs) - len(todo)} of {len(jobs)} runs finished before")
    total, done = len(todo), 0
    places: list[_Running | None] = [None] * parallel
    passed_on = 0
    with _Signals() as signals:
        while todo or any(places):
            while passed_on < len(signals.caught):
                todo, at_work = [], [running for running in places if running]
                for running in at_work:
                    running.process.send_signal(signal.SIGTERM)
                if not passed_on:
                    name = signal.Signals(signals.caught[0]).name
                    say(f"{name}: {len(at_work)} runs finish their call, save and end; a second one ends them at once")
                passed_on += 1
            for place, running in enumerate(places):
                if running is None:
                    places[place] = _start_next(todo, place, parallel)
                    continue
                ended = running.process.poll() is not None
                for line in running.said() if echo else ():
                    say(f"{running.job.name}: {line}")
                if ended:
                    done, places[place] = done + 1, None
                    _end(running.job, running.process.returncode)
                    seconds = time.monotonic() - running.began
                    outcome = running.job.status if echo else _outcome(running.job)
                    say(f"[{done}/{total}] {running.job.name}: {outcome} after {seconds:.0f} s")
            time.sleep(_POLL_SECONDS)
        if signals.caught:
            raise Stopped(signals.caught[0])


@dataclasses.dataclass
class _Running:
    """A job with its process, when that began, and how much of its log was read."""

    job: Job
    process: subprocess.Popen
    began: float
    read: int

    def said(self) -> list[str]:
        """The whole lines that it has written since the last call."""
        with open(self.job.folder / "log.txt", "rb") as log:
            log.seek(self.read)
            whole, newline, _ = log.read().rpartition(b"\n")
        self.read += len(whole + newline)
        return whole.decode(errors="replace").splitlines()


class _Signals:
    """Keeps the SIGTERM and SIGINT that come while it is open, in their order."""

    def __enter__(self) -> "_Signals":
        self.caught: list[int] = []
        self._before = {s: signal.signal(s, self._note) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _note(self, signum: int, frame: object) -> None:
        self.caught.append(signum)


def _start_next(todo: list[Job], place: int, parallel: int) -> _Running | None:
    """Starts the first job whose folder is free: a run of a sweep that was killed may still be saving in its own."""
    for job in todo:
        if not resume.locked(epath.Path(job.folder)):
            todo.remove(job)
            job.status = "running"
            log = job.folder / "log.txt"
            before = log.stat().st_size if log.exists() else 0
            return _Running(job, _start(job, place, parallel), time.monotonic(), before)
    return None


def environment(place: int, parallel: int) -> dict[str, str]:
    """The environment of the run in one of the ``parallel`` places: its own device, where several are listed."""
    own = dict(os.environ)
    devices = [name for name in own.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if parallel > 1 and len(devices) >= parallel:
        own["CUDA_VISIBLE_DEVICES"] = devices[place]
    return own


def _start(job: Job, place: int, parallel: int) -> subprocess.Popen:
    job.folder.mkdir(parents=True, exist_ok=True)
    own = environment(place, parallel)
    # In a session of its own: Ctrl-C reaches this process alone, which tells the run once (twice, it would not save).
    with open(job.folder / "log.txt", "ab") as log:
        return subprocess.Popen(
            _command(job), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=own, start_new_session=True
        )


def _command(job: Job) -> list[str]:
    """The command that starts the driver, so that it gets SIGTERM when this process dies, however it dies (Linux)."""
    if sys.platform != "linux":
        return [sys.executable, "-m", job.module, *job.arguments]
    tie = [sys.executable, "-m", "experiments.sweep.child", str(os.getpid())]
    return [*tie, "-m", job.module, *job.arguments]


def _end(job: Job, status: int) -> None:
    job.exit_status = status
    if status == 0 and resume.finished(job.folder):
        job.status = "finished"
        return
    job.status = "stopped" if status in (128 + signal.SIGTERM, 128 + signal.SIGINT) else "failed"
    lines = (job.folder / "log.txt").read_text(errors="replace").strip().splitlines()
    job.reason = lines[-1].strip() if lines else f"exit status {status}"
    if status == 0:
        job.reason = "ended without its last line"


def _outcome(job: Job) -> str:
    return f"{job.status} ({job.reason})" if job.reason else job.status
