"""An own policy and an own verifier learn by MaxRL."""

import re

from tests.examples.running import run


def test_success_rises_from_chance_to_nearly_all(tmp_path):
    before, after = map(
        float, re.search(r"before ([\d.]+), after ([\d.]+)", run("own_reward.py", folder=tmp_path)).groups()
    )
    assert abs(before - 1 / 28) < 0.02  # sum_n P(three digits sum to n) / 28
    assert after > 0.95
