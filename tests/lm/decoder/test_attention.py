"""Attention in blocks against the whole form: the same values and gradients, in memory that grows with length alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax.lm.decoder import attention
from maxrl_jax.lm.decoder.config import Rule
from tests.lm.decoder.tiny import run_compiled

P, N, S, T, K, G, H = 2, 3, 5, 11, 2, 2, 6  # H: width of a head
RULES = [Rule(0.7), Rule(0.7, soft_cap=2.0, window=4)]


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def in_blocks_and_whole(monkeypatch, function, *arguments):
    """The values and gradients of a function, its queries in blocks of 3 and all at once."""

    def total(*arguments):
        values = function(*arguments)
        return jnp.sum(values * normal(9, *values.shape)), values

    results = []
    for full in (2, 100):
        monkeypatch.setattr(attention, "FULL", full)
        monkeypatch.setattr(attention, "BLOCK", 3)
        gradient = jax.value_and_grad(total, argnums=tuple(range(len(arguments))), has_aux=True)
        results.append(run_compiled(lambda *given, gradient=gradient: gradient(*given), *arguments))
    return results


def assert_close(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), one, other)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("lengths", [None, np.array([5, 2])])
def test_answers_to_a_shared_prompt(x64, monkeypatch, rule, lengths):
    def attend(q, *keys_and_values):
        return attention.shared_prefix(q, *keys_and_values, rule, lengths)

    keys = [normal(seed, P, N, T, K, H) for seed in (1, 2)], [normal(seed, P, K, S, H) for seed in (3, 4)]
    blocks, whole = in_blocks_and_whole(monkeypatch, attend, normal(0, P, N, T, K * G, H), *keys[0], *keys[1])
    assert_close(blocks, whole)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("queries", [T, T - 4])
def test_a_causal_sequence_or_the_end_of_one(x64, monkeypatch, rule, queries):
    def attend(q, k, v):
        return attention.causal(q, k, v, rule)

    keys = [normal(seed, P, K, T, H) for seed in (1, 2)]
    blocks, whole = in_blocks_and_whole(monkeypatch, attend, normal(0, P, queries, K * G, H), *keys)
    assert_close(blocks, whole)


def test_memory_grows_with_length_and_not_with_its_square():
    def memory(length):
        shapes = [(1, 1, length, K * G, H), *[(1, 1, length, K, H)] * 2, *[(1, K, S, H)] * 2]
        arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
        loss = jax.grad(lambda *given: attention.shared_prefix(*given, RULES[1]).sum(), argnums=(0, 1, 2, 3, 4))
        return jax.jit(loss).lower(*arguments).compile().memory_analysis().temp_size_in_bytes

    assert memory(4096) < 2.2 * memory(2048) < 2.2**2 * memory(1024)
