"""The README's own lines run: its snippets, the estimator and the task of ten lines, from the command it gives."""

import re
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest

from experiments.lm.check import check
from maxrl_jax.runs.config.load import load
from maxrl_jax.runs.folder.metric_writer import read_metrics

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def snippet(words):
    (found,) = [text for text in PYTHON if words in text]
    return found


def test_it_is_read_in_a_few_minutes():
    assert README.count("\n") <= 180


def test_the_first_snippet_gives_what_its_comments_say():
    names = {}
    exec(snippet("losses.policy_gradient"), names)
    assert names["A"].tolist() == [[1.0, -1.0, -1.0, 1.0]]
    weight = names["objectives"].effective_weight(names["advantages"].get("maxrl"), 0.1, 16)
    assert f"{float(weight):.2f}" == "7.94" and jnp.isfinite(names["loss"])


def test_a_model_is_read_and_written(tmp_path):
    text = snippet("decoder.load_hf")
    text = text.replace("path/to/a/model", str(ROOT / "results/maze_9/base"))
    text = text.replace("path/to/another", str(tmp_path / "model"))
    exec(text, {})
    assert (tmp_path / "model" / "model.safetensors").stat().st_size > 100_000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the README's modules, where Python looks for them."""
    for name in ("mine", "my_task"):
        (tmp_path / f"{name}.py").write_text(snippet(f"# {name}.py"))
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def command(words):
    """The flags of the README's command with these words."""
    (found,) = [c for c in re.findall(r"^python -m (?:[^\n\\]|\\\n)*", README, flags=re.MULTILINE) if words in c]
    return found.replace("\\\n", " ").split()[1:]


def test_an_estimator_of_ones_own_runs_from_the_readmes_command(folder):
    flags = command("mine:shifted")
    small = ["--config.wandb.mode=disabled", f"--workdir={folder / 'run'}"]
    finished = subprocess.run(
        [sys.executable, *[flag for flag in flags if not flag.startswith("--workdir")], *small],
        cwd=ROOT, env={"PYTHONPATH": str(folder), "JAX_PLATFORMS": "cpu", "PATH": "", "HOME": str(folder)},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert any("final/params_sha256" in line for line in read_metrics(folder / "run"))


def test_a_task_of_ones_own_learns(folder):
    from experiments.lm.__main__ import run

    fields = dict(
        flag.removeprefix("--config.").split("=") for flag in command("my_task:factory") if flag.startswith("--config.")
    )
    overrides = {**fields, "sft.steps": int(fields["sft.steps"]), "wandb.mode": "disabled", "rl.steps": 30}
    overrides |= {"model.num_layers": 1, "eval.num_samples": 8, "eval.num_mazes": 64, "eval.every_steps": 0}
    config = load(f"{ROOT}/configs/maze.py:tiny", overrides)
    check(config)
    run(config, folder / "run")
    rates = [line["eval/pass@1"] for line in read_metrics(folder / "run") if "eval/pass@1" in line]
    assert rates[0] < 0.2 and rates[-1] > 1.5 * rates[0]
