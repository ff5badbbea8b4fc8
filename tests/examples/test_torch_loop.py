"""The estimators reach PyTorch unchanged, by tables and by DLPack, and train a policy there."""

import importlib.util
import re

import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax import advantages
from tests.examples.running import EXAMPLES, run

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("torch_loop", EXAMPLES / "torch_loop.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("name", "hyper"), [("maxrl", {}), ("rloo", {}), ("grpo", {"ddof": 1}), ("maxpo", {"k": 4})])
def test_tables_give_the_estimator_for_every_number_of_successes(example, name, hyper):
    n = example.ROLLOUTS
    rewards = np.random.default_rng(0).permuted(np.tri(n + 1, n, -1, dtype=np.float32), axis=-1)
    got = example.binary_estimator(name, **hyper)(torch.from_numpy(rewards)).numpy()
    np.testing.assert_allclose(got, advantages.get(name, **hyper)(jnp.asarray(rewards)), rtol=1e-5, atol=1e-5)


def test_dlpack_gives_the_estimator_on_real_rewards(example):
    rewards = np.random.default_rng(0).normal(size=(5, 32)).astype(np.float32)
    got = example.real_estimator("maxpo", k=3)(torch.from_numpy(rewards)).numpy()
    np.testing.assert_allclose(got, advantages.get("maxpo", k=3)(jnp.asarray(rewards)), rtol=1e-5, atol=1e-5)


def test_both_loops_learn(tmp_path):
    lines = re.findall(r"before ([\d.]+), after ([\d.]+)", run("torch_loop.py", folder=tmp_path))
    assert len(lines) == 2
    for before, after in lines:
        assert float(before) < 0.06 and float(after) > 0.8
