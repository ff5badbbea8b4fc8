"""Word problems end to end at their smallest: metrics, resume, devices, mini-batches, and what is refused."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.llm.__main__ import run
from experiments.llm.checks import check
from experiments.llm.problem import Problem
from experiments.lm_driver import rl
from maxrl_jax import advantages
from maxrl_jax.lm import decoder
from maxrl_jax.lm.evaluation import majority_is_right
from maxrl_jax.runs.config.errors import ConfigError
from maxrl_jax.runs.config.load import load
from maxrl_jax.runs.folder.metric_writer import read_metrics
from tests.experiments.llm.small import ROOT, SMALL, small
from tests.xla_flags import with_devices


def lines(folder, *prefixes):
    """Records with a metric of the prefixes, without what a clock decides."""
    records = [{k: v for k, v in line.items() if not k.startswith("perf/")} for line in read_metrics(folder)]
    return [r for r in records if any(k.startswith(prefixes) for k in r)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llm") / "run"
    config = small()
    check(config)
    run(config, folder)
    return folder


def test_metrics_are_the_contracts(finished):
    sft = lines(finished, "sft/")
    assert [r["step"] for r in sft if "sft/loss" in r] == [0, 1]
    assert [0 <= r["sft/digits_right"] <= 1 for r in sft if "sft/digits_right" in r] == [True]
    train = lines(finished, "train/")
    for record in train:
        assert {"train/reward_mean", "train/all_fail", "train/entropy", "train/answer_length"} <= set(record)
    rates = [record["train/cumulative_solve_rate"] for record in train]
    assert rates == sorted(rates) and rates[0] >= (1 - train[0]["train/all_fail"]) * 8 / 12 - 1e-6
    last = lines(finished, "eval/")[-1]
    assert {"eval/pass@1", "eval/pass@4", "eval/majority@4", "eval/entropy", "eval/coverage"} <= set(last)
    assert 0 < last["eval/entropy"] <= np.log(128) + 1e-4
    assert decoder.load_hf(finished / "model")(jnp.zeros((1, 3), jnp.int32)).shape == (1, 3, 128)


def test_resumed_equals_uninterrupted_bitwise(finished, tmp_path):
    run(small(**{"rl.steps": 1}), tmp_path / "run")
    run(small(), tmp_path / "run")
    assert lines(tmp_path / "run", "final/")[-1] == lines(finished, "final/")[-1]
    assert lines(tmp_path / "run", "train/", "sft/") == lines(finished, "train/", "sft/")


@pytest.mark.slow
def test_eight_devices_equal_one(finished, tmp_path):
    flags = [f"--config.{key}={value}" for key, value in SMALL.items()]
    command = [sys.executable, "-m", "experiments.llm", "--config=configs/llm.py:words", f"--workdir={tmp_path}/run"]
    environment = {**os.environ, "XLA_FLAGS": with_devices(8), "JAX_PLATFORMS": "cpu"}
    ended = subprocess.run([*command, *flags], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr
    here, there = lines(finished, "train/")[0], lines(tmp_path / "run", "train/")[0]
    assert set(here) == set(there)
    for name, value in here.items():
        assert there[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    assert lines(tmp_path / "run", "eval/")[0]["eval/solved"] == lines(finished, "eval/")[0]["eval/solved"]


def one_step(config):
    """Parameters and metrics after the first RL step."""
    problem = Problem.make(config)
    chunk = jax.jit(rl.make_chunk(problem, advantages.get("rloo")))
    state, metrics = chunk(rl.make_state(problem, problem.init_params()), jnp.arange(1))
    return state, jax.device_get(metrics)


def test_mini_batches_are_the_batch_cut_by_prompts():
    """Plain SGD and a tiny rate: the updates of four parts add up to four times that of the whole, to first order."""
    plain = {
        "rl.optimizer.name": "sgd",
        "rl.optimizer.momentum": 0.0,
        "rl.optimizer.clip_norm": 0.0,
        "rl.optimizer.weight_decay": 0.0,
        "rl.learning_rate": 1e-3,
        "rl.aggregation": "sequence_sum",
        "task": "tests.experiments.maze.own_task:sums",
        "rl.num_rollouts": 32,
    }
    problem = Problem.make(small(**plain))
    before = problem.init_params()
    whole, metrics = one_step(small(**plain))
    parts, of_parts = one_step(small(**plain, **{"rl.minibatches": 4, "rl.clip_epsilon": 0.2}))
    assert of_parts["reward_mean"] == pytest.approx(metrics["reward_mean"], abs=1e-6)
    moved = [
        np.concatenate([np.ravel(a - b) for a, b in zip(*map(jax.tree.leaves, (s["params"], before)), strict=True)])
        for s in (whole, parts)
    ]
    assert 0 < metrics["reward_mean"] < 1
    np.testing.assert_allclose(moved[1], 4 * moved[0], rtol=0, atol=2e-2 * np.abs(moved[1]).max())


def test_the_majority_is_the_most_frequent_vote_and_the_earliest_of_a_tie():
    def right(votes, judged):
        return majority_is_right(np.array(votes), np.array(judged))

    assert right([7, 5, 5, -1, -1, -1], [0, 1, 1, 0, 0, 0])
    assert not right([7, 5, 7, 5], [0, 1, 0, 1])
    assert right([5, 7, 7, 5], [1, 0, 0, 1])
    assert not right([-1, -1], [0, 0])


WRONG = [
    ({"task": "word"}, "task"),
    ({"words.num_problems": 0}, "words.num_problems"),
    ({"model.max_positions": 60}, "model.max_positions"),
    ({"model.init_from": "/nonexistent"}, "model.init_from"),
    ({"task": "mathematics"}, "model.init_from"),
    ({"rl.minibatches": 3}, "rl.minibatches"),
    ({"rl.clip_epsilon": 1.0}, "rl.clip_epsilon"),
    ({"eval.top_p": 0.0}, "eval.top_p"),
    ({"rl.minibatches": 4, "rl.advantage.name": "self_masked"}, "rl.advantage.name"),
    ({"verifier.seconds": 0.0}, "verifier.seconds"),
]


@pytest.mark.parametrize(("overrides", "key"), WRONG, ids=str)
def test_wrong_settings_are_named_before_any_compile(overrides, key):
    with pytest.raises(ConfigError) as caught:
        check(small(**overrides))
    assert str(caught.value).startswith(key), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("variant", ["words", "words_standin"])
def test_the_variants_of_words_are_checked(variant):
    check(load(f"{ROOT}/configs/llm.py:{variant}", {"wandb.mode": "disabled", "words.num_demonstrations": 64}))
