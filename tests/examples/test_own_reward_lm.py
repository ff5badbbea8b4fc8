"""A language model trained with a reward of one's own: ten steps, and the reward rises."""

import re

from tests.examples.running import run


def test_the_reward_rises_over_ten_steps(tmp_path):
    rewards = [float(number) for number in re.findall(r"reward ([\d.]+)", run("own_reward_lm.py", folder=tmp_path))]
    assert len(rewards) == 10
    assert sum(rewards[-3:]) > sum(rewards[:3]) + 0.6
