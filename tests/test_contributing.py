"""CONTRIBUTING adds an estimator, a task and a family by diffs: each is applied to a copy of the tree and run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SECTIONS = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("\n## ")
PLACES = """
from experiments.results import style
from maxrl_jax import advantages, documentation
assert "twice_rloo" in advantages.__all__ and advantages.twice_rloo
assert style.LABELS["twice_rloo"] == "Twice rloo" and style.look("twice_rloo")["color"]
assert "### twice_rloo" in documentation.render()
"""
GEMMA = """
import json, pathlib, sys
import jax, numpy
from flax import nnx
from maxrl_jax.lm import decoder
config = decoder.Config(
    vocab_size=9, hidden_size=8, intermediate_size=8, num_layers=1, num_heads=2, num_kv_heads=1, head_dim=6,
    rms_norm_eps=1e-6, activation="gelu_pytorch_tanh", qkv_bias=False, unit_offset_norms=True, scale_embeddings=True)
model = decoder.Decoder(config, rngs=nnx.Rngs(0))
decoder.save_hf(model, sys.argv[1])
assert json.loads((pathlib.Path(sys.argv[1]) / "config.json").read_text())["model_type"] == "gemma"
again, tokens = decoder.load_hf(sys.argv[1]), numpy.arange(6)[None]
assert again.config == config
numpy.testing.assert_array_equal(*(jax.jit(lambda tokens, m=m: m(tokens))(tokens) for m in (model, again)))
"""
REVERSAL = """
import sys
from experiments.lm.__main__ import check, run
from tests.experiments.lm.small import COMMON, load
few = {"task": "reversal", "sft.steps": 0, "rl.steps": 1, "eval.num_samples": 1, "eval.num_mazes": 4}
config = load("configs/maze.py:tiny", COMMON | few)
check(config)
assert "final/params_sha256" in run(config, sys.argv[1])
"""


@pytest.fixture
def tree(tmp_path):
    """``tree(title)`` copies what the tests need, with the diff of a section of CONTRIBUTING."""

    def copy(title: str) -> Path:
        for folder in ("maxrl_jax", "configs", "experiments", "tests"):
            shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md"):
            shutil.copy(ROOT / name, tmp_path)
        (section,) = [text for text in SECTIONS if text.startswith(title)]
        (diff,) = re.findall(r"```diff\n(.*?)```", section, flags=re.DOTALL)
        assert sum(line.startswith("+") and not line.startswith("+++") for line in diff.splitlines()) < 15
        subprocess.run(["git", "apply", "-"], input=diff, text=True, cwd=tmp_path, check=True)
        return tmp_path

    return copy


def test_an_estimator_is_its_function_and_its_row(tree):
    """Every law of the tests runs on it; plots, configs and pages know it."""
    folder = tree("Add an estimator")
    files = [f"tests/advantages/test_{name}.py" for name in ("laws", "definitions", "unbiased")]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files, "-k", "twice_rloo"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout).group(1)) >= 12
    subprocess.run([sys.executable, "-c", PLACES], cwd=folder, check=True)


def test_a_task_is_its_file_and_its_row(tree):
    subprocess.run([sys.executable, "-c", REVERSAL, "run"], cwd=tree("Add a task"), check=True)


def test_a_family_is_a_translation(tree):
    subprocess.run([sys.executable, "-c", GEMMA, "model"], cwd=tree("Add a family"), check=True)
