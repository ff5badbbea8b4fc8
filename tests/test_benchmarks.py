"""The peers inside the benchmarks compute what ours compute, and each benchmark prints one JSON object."""

import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import advantages as benchmark
from benchmarks import lm_step
from maxrl_jax import advantages


@pytest.mark.parametrize("k", [2, 3, 8])
def test_peers_agree_with_ours(k):
    rewards = jnp.asarray(np.random.default_rng(0).normal(size=9), jnp.float32)
    np.testing.assert_allclose(benchmark.broadcast_l2o(rewards, k=k), advantages.maxpo(rewards, k=k), atol=2e-5)
    expected = advantages.pkpo(rewards, k=k, baseline="none")
    np.testing.assert_allclose(benchmark.product_pkpo(rewards, k=k), expected, atol=2e-5)


def test_advantages_benchmark_prints_one_json_object(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["advantages", "--sizes", "16", "--repeats", "1"])
    monkeypatch.setattr(benchmark, "REWARDS_A_CALL", 64)
    benchmark.main()
    result = json.loads(capsys.readouterr().out)
    measured = {row["estimator"].split("(")[0] for row in result["rows"]}
    assert measured >= set(advantages.names())
    assert all(row["seconds_a_group"] > 0 for row in result["rows"])
    assert result["machine"]["jax"]


def test_lm_step_prints_the_keys_of_maze_step_and_its_parameters(monkeypatch, capsys):
    flags = "--model tiny --layers 1 --prompts 2 --rollouts 3 --prompt-length 5 --length 4 --steps 1"
    monkeypatch.setattr(sys, "argv", ["lm_step", *flags.split()])
    monkeypatch.setattr(lm_step, "device_rates", lambda dtype: {"flops_per_second": 1e9, "bytes_per_second": 1e9})
    lm_step.main()
    result = json.loads(capsys.readouterr().out)
    for key in ("seconds_rollout", "seconds_update", "seconds_step", "response_tokens_per_second", "peak_rss_mb"):
        assert result[key] > 0
    assert result["trained_tokens"] == 2 * 3 * 4
    assert result["prompts_skipped"] == 0
    assert result["gradient_norm"] > 0
    block = 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128 + 2 * 64
    assert result["parameters"] == 512 * 64 + block + 64
