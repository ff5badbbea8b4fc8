"""The peers inside the benchmarks compute what ours compute, and each benchmark prints one JSON object."""

import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import advantages as benchmark
from benchmarks import lm_memory, lm_step, maze_step, rl_step
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


MAZE = "--size 5 --prompts 2 --rollouts 8 --length 4 --steps 1"  # so many that rewards of both kinds are drawn
MODEL = "--model tiny --layers 1 --prompts 2 --rollouts 8 --prompt-length 5 --length 4 --steps 1"


def weights(vocabulary, hidden, mlp, layers, key_value):
    """Parameters of a decoder with tied embeddings and no biases, whose query heads fill the hidden width."""
    block = 2 * hidden * hidden + 2 * hidden * key_value + 3 * hidden * mlp + 2 * hidden
    return vocabulary * hidden + layers * block + hidden


MAZE_WEIGHTS = weights(32, 256, 1024, 4, 128) + 4 * (256 + 2 * 128)  # and biases


@pytest.mark.parametrize(("module", "flags", "parameters"), [
    (lm_step, MODEL, weights(512, 64, 128, 1, 32)),
    pytest.param(maze_step, MAZE, MAZE_WEIGHTS, marks=pytest.mark.slow),
])  # fmt: skip
def test_steps_print_times_metrics_and_parameters(module, flags, parameters, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [module.__name__, *flags.split()])
    monkeypatch.setattr(rl_step, "device_rates", lambda dtype: {"flops_per_second": 1e9, "bytes_per_second": 1e9})
    module.main()
    result = json.loads(capsys.readouterr().out)
    for key in ("seconds_rollout", "seconds_update", "seconds_step", "response_tokens_per_second", "peak_rss_mb"):
        assert result[key] > 0
    assert result["trained_tokens"] == 2 * 8 * 4
    assert result["prompts_skipped"] == 0
    assert result["gradient_norm"] > 0
    assert result["parameters"] == parameters
    assert result["roofline"]["update"]["flops"] > 2 * result["roofline"]["rollout"]["flops"] > 0


def test_memory_of_a_device_is_read_from_programs_that_never_run(capsys):
    flags = "--model tiny --prompts 8 --rollouts 2 --prompt-length 8 --length 8 --micro-batch-tokens 16"

    def held(more):
        lm_memory.main(f"{flags} {more}".split())
        return json.loads(capsys.readouterr().out)

    few, many = held("--devices 2 --memory 1e-5"), held("--devices 8 --fsdp 8")
    size = 4 * weights(512, 64, 128, 6, 32) / lm_memory.GIB
    assert few["parameters"] == pytest.approx(size)
    assert many["optimizer"] == pytest.approx(2 * size / 8)
    assert few["peak"] >= many["peak"] > 0
    assert (few["fits"], many["fits"]) == (False, True)
    assert many["gradient_seconds"] == pytest.approx(2 * 7 / 8 * size * lm_memory.GIB / 200e9)
    with pytest.raises(SystemExit) as stopped:
        held("--devices 3")
    assert stopped.value.code == 2
