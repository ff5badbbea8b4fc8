"""Starting the toy driver as a process, and reading what a run wrote."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

from tests.xla_flags import with_devices

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = "tests/runs/toy_config.py"


@dataclasses.dataclass(frozen=True)
class Toy:
    """The toy driver as a process."""

    started: list[subprocess.Popen] = dataclasses.field(default_factory=list)

    def environment(self, devices: int = 1) -> dict[str, str]:
        return os.environ | {"XLA_FLAGS": with_devices(devices)}

    def start(
        self, workdir, *overrides: str, variant: str = "two_phases", devices: int = 1, extra=(), variables=None
    ) -> subprocess.Popen:
        command = [sys.executable, "-m", "tests.runs.toy", f"--config={CONFIG}:{variant}"]
        command += [f"--workdir={workdir}", *(f"--config.{o}" for o in overrides), *extra]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**self.environment(devices), **(variables or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def end_all(self):
        """Kills what a failed test left running."""
        while self.started:
            process = self.started.pop()
            if process.poll() is None:
                process.kill()
                process.communicate()

    def run(self, workdir, *overrides: str, **keywords) -> "Ended":
        process = self.start(workdir, *overrides, **keywords)
        out, err = process.communicate(timeout=120)
        return Ended(process.returncode, out, err)


@dataclasses.dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str


def deterministic(workdir) -> list[dict]:
    """All records but the perf/ ones, straight from the file."""
    lines = (pathlib.Path(workdir) / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return [record for record in records if not any(name.startswith("perf/") for name in record)]
