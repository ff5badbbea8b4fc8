"""Every example runs as it stands, and learns."""

import re

import pytest

from tests.examples.running import run


def numbers(pattern, printed):
    return [tuple(map(float, found.groups())) for found in re.finditer(pattern, printed)]


def test_an_own_policy_and_verifier_learn_by_maxrl(tmp_path):
    [(before, after)] = numbers(r"before ([\d.]+), after ([\d.]+)", run("own_reward.py", folder=tmp_path))
    assert abs(before - 1 / 28) < 0.02  # sum_n P(three digits sum to n) / 28
    assert after > 0.95


def test_a_language_model_learns_an_own_reward_in_ten_steps(tmp_path):
    rewards = [reward for (reward,) in numbers(r"reward ([\d.]+)", run("own_reward_lm.py", folder=tmp_path))]
    assert len(rewards) == 10
    assert sum(rewards[-3:]) > sum(rewards[:3]) + 0.6


def test_an_own_verifier(tmp_path):
    printed = run("own_verifier.py", folder=tmp_path).splitlines()
    assert [line.rpartition(": ")[2] for line in printed] == ["right", "right", "wrong", "wrong"]


def test_an_own_data_set(tmp_path):
    printed = run("own_data.py", "sums.jsonl", folder=tmp_path)
    assert printed.startswith("100 problems in sums.jsonl")
    question, gold = printed.partition("prompt='")[2].split("', gold='")
    a, b = (int(word.strip("?")) for word in question.split() if word.strip("?").isdigit())
    assert gold.startswith(str(a + b)) and "boxed" in question


@pytest.mark.slow
def test_an_own_task_learns_through_the_driver_of_the_mazes(tmp_path):
    rates = numbers(r"RL step (\d+): pass@1 ([\d.]+)", run("own_task.py", folder=tmp_path))
    assert [step for step, _ in rates] == [0, 75, 150]
    assert rates[0][1] < 0.2 and rates[-1][1] > 1.4 * rates[0][1]


@pytest.mark.slow
def test_chains_of_skills_in_one_file(tmp_path):
    """Every method learns the easy levels, and MaxRL is ahead on the hardest of 8."""
    printed = run("one_file.py", folder=tmp_path)
    cells = {line.split()[0]: re.findall(r"([\d.]+)±", line) for line in printed.splitlines() if "±" in line}
    table = {name: [float(mean) for mean in row] for name, row in cells.items() if row}
    assert list(table) == ["RLOO", "GRPO", "MaxRL"] and {len(row) for row in table.values()} == {10}
    assert all(row[0] > 0.9 for row in table.values())
    assert table["MaxRL"][-1] > max(table["RLOO"][-1], table["GRPO"][-1]) + 0.05
    assert (tmp_path / "one_file.png").read_bytes().startswith(b"\x89PNG")
