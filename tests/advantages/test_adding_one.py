"""CONTRIBUTING's diff adds an estimator: it is applied to a copy of the tree, where the battery runs on it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKS = """
from experiments.results import style
from maxrl_jax import advantages, documentation
from maxrl_jax.runs.config.estimator import hyper_names
assert "twice_rloo" in advantages.__all__ and advantages.twice_rloo
assert style.LABELS["twice_rloo"] == "Twice rloo" and style.look("twice_rloo")["color"]
assert "### twice_rloo" in documentation.render()
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The tree with the diff of the section "Add an estimator"."""
    tree = tmp_path_factory.mktemp("tree")
    for folder in ("maxrl_jax", "configs", "experiments", "tests"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tree)
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Add an estimator")[1].split("\n## ")[0]
    (diff,) = re.findall(r"```diff\n(.*?)```", section, flags=re.DOTALL)
    assert sum(line.startswith("+") and not line.startswith("+++") for line in diff.splitlines()) < 15
    subprocess.run(["git", "apply", "-"], input=diff, text=True, cwd=tree, check=True)
    return tree


def test_the_battery_runs_on_the_new_row(copy):
    names = (
        "advantages/test_laws.py",
        "advantages/test_definitions.py",
        "advantages/test_unbiased.py",
        "test_theory.py",
    )
    files = [f"tests/{name}" for name in (*names, "test_objectives.py")]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files]
    done = subprocess.run([*command, "-k", "twice_rloo"], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout).group(1)) >= 12


def test_plots_configs_and_pages_know_the_new_row(copy):
    subprocess.run([sys.executable, "-c", CHECKS], cwd=copy, check=True)
