"""A task of one's own in one file learns through the driver of the mazes."""

import re

import pytest

from tests.examples.running import run

pytestmark = pytest.mark.slow


def test_pass_at_1_rises_on_held_out_prompts(tmp_path):
    found = re.findall(r"RL step (\d+): pass@1 ([\d.]+)", run("own_task.py", folder=tmp_path))
    assert [int(step) for step, _ in found] == [0, 75, 150]
    rates = [float(rate) for _, rate in found]
    assert rates[0] < 0.2 and rates[-1] > 1.4 * rates[0]
