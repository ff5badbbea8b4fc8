"""docs/elsewhere.md: the formulas it tells of other libraries are the rows it names, and its snippets are MaxRL."""

import re
import sys
from itertools import combinations
from math import comb
from types import ModuleType, SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax import advantages
from tests.examples.running import ROOT

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "elsewhere.md").read_text(encoding="utf-8"), re.DOTALL)
REWARDS = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
BINARY = np.float32([[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0]])


def ours(name, rewards, **hyper):
    return np.asarray(advantages.get(name, **hyper)(jnp.asarray(rewards)))


def centred(rewards):
    return rewards - rewards.mean(-1, keepdims=True)


def best_minus_second(rewards):
    best, second = np.sort(rewards, axis=-1)[:, :-3:-1].T[..., None]
    return np.where(rewards == best, best - second, 0)


def share_of_subsets(rewards, k):
    """sum over the k-subsets with i of their maximum, over C(N, k), centred."""
    n = rewards.shape[-1]
    credit = np.zeros_like(rewards)
    for subset in map(list, combinations(range(n), k)):
        credit[:, subset] += rewards[:, subset].max(-1, keepdims=True) / comb(n, k)
    return centred(credit)


@pytest.mark.parametrize(
    ("told", "name", "hyper", "factor"),
    [
        (lambda r: centred(r) / (r.std(-1, ddof=1, keepdims=True) + 1e-6), "grpo", {"eps": 1e-6, "ddof": 1}, 1),
        (lambda r: centred(r) / (r.std(-1, ddof=1, keepdims=True) + 1e-4), "grpo", {"eps": 1e-4, "ddof": 1}, 1),
        (lambda r: centred(r) / (r.std(-1, keepdims=True) + 1e-6), "grpo", {"eps": 1e-6, "ddof": 0}, 1),
        (centred, "mean_baseline", {}, 1),
        (lambda r: centred(r) * 6 / 5, "rloo", {}, 1),
        (lambda r: 6 * np.exp(r / 0.3) / np.exp(r / 0.3).sum(-1, keepdims=True) - 1, "softmax_grpo", {"tau": 0.3}, 1),
        (best_minus_second, "expected_improvement", {"k": 6}, 1 / 6),
        (lambda r: share_of_subsets(r, 3), "bagirov", {"k": 3, "centering": "mean"}, 1 / 6),
        (lambda r: share_of_subsets(r, 3), "maxpo", {"k": 3}, (1 - 3 / 6) / 6),
    ],
    ids=["ddof1", "ddof1-eps", "ddof0", "centred", "rloo", "softmax", "best-second", "pkpo-bagirov", "pkpo-maxpo"],
)
def test_a_formula_of_theirs_is_the_row_named(told, name, hyper, factor):
    np.testing.assert_allclose(told(REWARDS), factor * ours(name, REWARDS, **hyper), rtol=2e-5, atol=2e-6)


def snippet(text, monkeypatch, **modules):
    """Runs the one block that holds `text`, with stand-ins for the libraries that it registers in."""
    (block,) = [block for block in BLOCKS if text in block]
    for name, attributes in modules.items():
        parts = name.split("__")
        for i in range(1, len(parts) + 1):
            module = ModuleType(".".join(parts[:i]))
            monkeypatch.setitem(sys.modules, module.__name__, module)
        vars(module).update(attributes)
    scope = {}
    exec(block, scope)
    return scope["maxrl"]


def registering(name):
    return lambda function: function


def test_the_snippet_for_verl_is_maxrl_on_shuffled_groups(monkeypatch):
    torch = pytest.importorskip("torch")
    maxrl = snippet("register_adv_est(", monkeypatch, verl__trainer__ppo__core_algos={"register_adv_est": registering})
    order = np.random.default_rng(0).permutation(BINARY.size)
    index = np.array([f"prompt {i // 4}" for i in range(BINARY.size)], object)[order]
    token_rewards = np.zeros((BINARY.size, 3), np.float32)
    token_rewards[:, 1] = BINARY.flatten()[order]
    mask = torch.tensor([[1.0, 1.0, 0.0]] * BINARY.size)
    got, _ = maxrl(torch.from_numpy(token_rewards), mask, index, config=None)
    expected = ours("maxrl", BINARY).flatten()[order][:, None] * mask.numpy()
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6)


def test_the_snippet_for_trl_is_maxrl_after_its_centring(monkeypatch):
    pytest.importorskip("torch")
    maxrl = snippet("num_generations):\n    def", monkeypatch)
    got = np.reshape(maxrl(lambda completions: completions, 4)(completions=BINARY.flatten().tolist()), BINARY.shape)
    np.testing.assert_allclose(centred(got), ours("maxrl", BINARY), rtol=1e-6, atol=1e-6)


def test_the_snippet_for_rllm_is_maxrl(monkeypatch):
    maxrl = snippet(
        "rLLMAdvantageEstimator.OTHER",
        monkeypatch,
        rllm__trainer__algorithms__config={"rLLMAdvantageEstimator": SimpleNamespace(OTHER="other")},
        rllm__trainer__algorithms__advantage={"register_adv_estimator": registering},
    )
    np.testing.assert_allclose(np.stack(maxrl(list(BINARY), None)[0]), ours("maxrl", BINARY))


def test_the_snippet_for_tunix_is_maxrl(monkeypatch):
    registry = SimpleNamespace(register_advantage_estimator=registering)
    maxrl = snippet("register_advantage_estimator", monkeypatch, tunix__rl={"function_registry": registry})
    np.testing.assert_allclose(maxrl(BINARY.flatten(), 4), ours("maxrl", BINARY).flatten())
