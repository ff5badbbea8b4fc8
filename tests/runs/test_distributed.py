"""When a run joins other processes, and what is said when they cannot."""

import os
import subprocess
import sys

import jax
import pytest

from maxrl_jax.devices import distributed
from maxrl_jax.errors import ConfigError

VARIABLES = (
    "JAX_COORDINATOR_ADDRESS", "SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE",
    "TPU_PROCESS_ADDRESSES", "TPU_WORKER_HOSTNAMES", "TPU_ML_PLATFORM", "TPU_SKIP_MDS_QUERY",
)  # fmt: skip


@pytest.fixture
def joined(monkeypatch):
    """The arguments of every call of jax.distributed.initialize, in an environment that says nothing."""
    calls = []
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *a, **k: calls.append((a, k)))
    return calls


@pytest.mark.parametrize(
    ("environment", "joins"),
    [
        ({}, False),
        ({"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4"}, True),
        ({"SLURM_STEP_ID": "0", "SLURM_NTASKS": "1"}, False),
        ({"SLURM_NTASKS": "4"}, False),  # inside an allocation, but not started by srun
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "1"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a,b", "TPU_ML_PLATFORM": "JAX"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost", "TPU_ML_PLATFORM": "JAX"}, False),
        ({"TPU_ML_PLATFORM": "JAX"}, True),
        ({"TPU_ML_PLATFORM": "JAX", "TPU_SKIP_MDS_QUERY": "1"}, False),
        ({"JAX_COORDINATOR_ADDRESS": "a:1"}, True),
    ],
)
def test_auto_joins_when_the_environment_says_so(joined, monkeypatch, environment, joins):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    distributed.Cluster().start()
    assert joined == [((), {"heartbeat_timeout_seconds": 100})] * joins
    joined.clear()
    distributed.Cluster("off").start()
    assert joined == []


def test_flags_go_before_the_environment(joined):
    distributed.Cluster("auto", "host:1", 2, 1, heartbeat_seconds=7).start()
    assert joined == [(("host:1", 2, 1), {"heartbeat_timeout_seconds": 7})]


def test_on_where_nothing_says_how_is_one_line(joined, monkeypatch):
    def initialize(**keywords):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(ConfigError) as error:
        distributed.Cluster("on").start()
    assert str(error.value) == (
        "--distributed: got 'on', allowed: off, or --coordinator=HOST:PORT (coordinator_address should be defined.)"
    )


@pytest.mark.parametrize(("end", "said"), [("os.abort()", True), ("sys.exit(3)", False), ("1 / 0", False)])
def test_a_process_that_dies_without_a_word_gets_one(end, said):
    code = (
        "import os, sys; from maxrl_jax.devices import distributed; "
        f"distributed._announce_death('process 1 of 2'); {end}"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)
    assert ended.returncode != 0
    line = (
        "error: process 1 of 2 was killed, or ended because another one died; the same command, on every host, resumes"
    )
    assert (ended.stderr.splitlines()[-1:] == [line]) == said
