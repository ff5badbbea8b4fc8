"""Chains of skills: the table, the picture, and what the table says."""

import re

import pytest

from tests.examples.running import run

pytestmark = pytest.mark.slow

LEVELS = 8


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    printed = run("one_file.py", folder=folder)
    rows = {line.split()[0]: re.findall(r"([\d.]+)±([\d.]+)", line) for line in printed.splitlines() if "±" in line}
    return folder, printed, {name: [float(mean) for mean, _ in cells] for name, cells in rows.items() if cells}


def test_every_method_has_a_mean_and_an_error_for_every_level(outcome):
    table = outcome[2]
    assert list(table) == ["RLOO", "GRPO", "MaxRL"]
    assert all(len(row) == LEVELS + 2 for row in table.values())


def test_the_picture_lies_where_it_says(outcome):
    folder, printed, _ = outcome
    path = re.search(r"picture: (.*\.png)", printed).group(1)
    assert path == str((folder / "one_file.png").resolve())
    assert (folder / "one_file.png").read_bytes().startswith(b"\x89PNG")


def test_easy_levels_are_learned_and_maxrl_is_ahead_on_the_hard_ones(outcome):
    table = outcome[2]
    assert all(row[0] > 0.9 for row in table.values())
    assert table["MaxRL"][-1] > max(table["RLOO"][-1], table["GRPO"][-1]) + 0.05
