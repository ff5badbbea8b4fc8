"""Eight simulated devices, over which the seeds are divided, give the curves of one."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.xla_flags import with_devices

RUNS = {
    "gaussian": ("train/theta", ["--config.variance.num_estimates=50"]),
    "corridor": ("train/return/maxpo_k4/N16", ["--config.variance.every_steps=0"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("experiment", RUNS)
def test_eight_devices_give_the_run_of_one(experiment, tmp_path):
    metric, flags = RUNS[experiment]
    command = [sys.executable, "-m", f"experiments.{experiment}", f"--config=configs/{experiment}.py:tiny", *flags]
    curves = []
    for count in (1, 8):
        folder = tmp_path / str(count)
        run = [*command, "--config.wandb.mode=disabled", "--config.rl.steps=40", f"--workdir={folder}"]
        subprocess.run(run, env=os.environ | {"XLA_FLAGS": with_devices(count)}, check=True)
        records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        curves.append([record[metric] for record in records if metric in record])
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-4, atol=1e-4)
