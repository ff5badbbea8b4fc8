"""The peers inside the benchmarks compute what ours compute, and each benchmark prints one JSON object."""

import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import advantages as benchmark
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
