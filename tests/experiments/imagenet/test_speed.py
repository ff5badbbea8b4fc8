"""The perf/ lines of a run with batches from the host."""

import itertools
import time

import jax.numpy as jnp
import numpy as np

from maxrl_jax.runs.folder.metric_writer import read_metrics
from tests.runs import small


def perf(folder, name):
    return [r[f"perf/{name}"] for r in read_metrics(folder) if f"perf/{name}" in r]


def chunk(state, steps, batches):
    return state, {"loss": jnp.mean(batches, axis=1)}


def batches(step):
    """A slow reader: a batch each 0.1 s."""
    for number in itertools.count(step):
        time.sleep(0.1)
        yield np.full((4,), number, np.float32)


def test_a_run_that_waits_for_its_batches_reports_it(tmp_path):
    small.run(tmp_path / "a", num_steps=6, chunk_steps=2, chunk=chunk, data=batches, rates={"images": 4})
    bound, speed = perf(tmp_path / "a", "input_bound"), perf(tmp_path / "a", "images_per_second")
    seconds = perf(tmp_path / "a", "train_seconds_per_step")
    assert len(bound) == len(speed) == 2
    assert all(0.3 < value <= 1 for value in bound)
    np.testing.assert_allclose(np.multiply(speed, seconds), 4, rtol=1e-6)
