"""The peers inside the benchmarks compute what ours compute, and each benchmark prints one JSON object."""

import json
import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import advantages as benchmark
from benchmarks import lm_memory, lm_step, maze_step, rl_step
from maxrl_jax import advantages
from tests.xla_flags import with_devices


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


MEMORY = (
    "--model tiny --prompts 8 --rollouts 2 --prompt-length 8 --length 8 --micro-batch-tokens 16 --devices 8 --fsdp 8"
)
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
    command = [sys.executable, "-m", "benchmarks.lm_memory", *MEMORY.split()]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": with_devices(1)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
    held = json.loads(ended.stdout)
    norms = 13 * 64  # stay whole
    size = (weights(512, 64, 128, 6, 32) - norms) / 8 + norms
    assert held["parameters"] == pytest.approx(4 * size / lm_memory.GIB)
    assert held["optimizer"] == pytest.approx(2 * held["parameters"], rel=1e-3)
    assert held["peak"] > held["parameters"] + held["optimizer"] + held["update"] > 0
    assert held["fits"]
    # Rollouts gather the parameters once; each of 2 passes, over prompts and over answers, gathers them twice, and the
    # embedding once, and scatters their gradients.
    embedding, gathered = 512 * 64, weights(512, 64, 128, 6, 32) - norms
    assert held["sent"] == pytest.approx(4 * 7 / 8 * (7 * gathered - 2 * embedding) / 1e9, rel=0.1)
    with pytest.raises(SystemExit) as stopped:
        lm_memory.main(["--model", "tiny", "--devices", "3"])
    assert stopped.value.code == 2
    assert "allowed: prompts that divide by the devices" in capsys.readouterr().err
