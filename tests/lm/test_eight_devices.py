"""Eight simulated devices, each check in a process of its own."""

import os
import subprocess
import sys

import pytest

from tests.xla_flags import with_devices


def check(name):
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": with_devices(8)}
    subprocess.run([sys.executable, "-m", "tests.lm.eight_devices", name], env=environment, check=True, timeout=600)


@pytest.mark.slow
def test_a_step_on_prompts_of_different_lengths_is_that_of_one_device():
    check("step")


@pytest.mark.slow
def test_segments_are_those_of_one_loop_on_one_device():
    check("segments")


def test_devices_read_their_own_shards_of_a_model_folder():
    check("read")
