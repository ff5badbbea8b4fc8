"""A driver that computes nothing: what the sweep sees of a driver, in a fraction of a second."""

import json
import pathlib
import time

from etils import epath

from maxrl_jax.runs import launch
from maxrl_jax.runs.config import checks, fields
from maxrl_jax.runs.folder import resume
from maxrl_jax.runs.folder.metric_writer import LineFile, encode

STEPS = 3


def check(config):
    checks.non_negative_int(config, "rl.steps")


def run(config, workdir):
    folder = pathlib.Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    with resume.lock(epath.Path(folder)):
        (folder / "config.json").write_text(json.dumps(fields.to_dict(config)))
        with open(folder / "starts.txt", "a") as starts:
            starts.write("x")
        if config.rl.learning_rate == 13.0:
            raise RuntimeError("an unlucky number")
        lines = LineFile(epath.Path(folder))
        begun = lines.num_lines
        for step in range(begun, STEPS):
            time.sleep(config.sleep)
            value = config.rl.learning_rate * step + config.seed
            lines.append([encode(step, {"train/loss": value, "eval/pass@1": value})])
        with open(folder / "ends.txt", "a") as ends:
            ends.write("x")
        lines.append([encode(STEPS, {"final/params_sha256": "0" * 64})])


if __name__ == "__main__":
    launch.main(run, check)
