"""Laws that hold for every entry of the table; a new entry is tested by being in it."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax import advantages
from tests.advantages.support import companions, every_setting, label, rewards_for

N = 6
EVERY = pytest.mark.parametrize(("name", "hyper"), every_setting(N), ids=label)


def case(name, hyper, shape=(5, N), seed=0):
    """(estimator, rewards, companion arrays) in float32."""
    rng = np.random.default_rng(seed)
    adv = advantages.get(name, **hyper)
    rewards = rewards_for(adv.entry, rng, shape)
    arrays = companions(adv.entry, rewards, rng)
    return adv, jnp.asarray(rewards, jnp.float32), {k: jnp.asarray(v, jnp.float32) for k, v in arrays.items()}


@EVERY
def test_permutation_equivariance(name, hyper):
    adv, rewards, arrays = case(name, hyper)
    order = np.random.default_rng(1).permutation(N)
    if not adv.entry.symmetric and not adv.entry.needs:
        # Only within blocks of k and of whole blocks.
        k = hyper["k"]
        blocks = np.random.default_rng(1).permutation(N // k)
        order = np.concatenate([b * k + np.random.default_rng(b).permutation(k) for b in blocks])
    moved = {k: v[:, order] if v.ndim == 2 else v for k, v in arrays.items()}
    expected = adv(rewards, **arrays)[:, order]
    np.testing.assert_allclose(adv(rewards[:, order], **moved), expected, rtol=1e-5, atol=1e-5)


@EVERY
def test_batched_equals_vmap_and_jit(name, hyper):
    adv, rewards, arrays = case(name, hyper, shape=(2, 3, N))
    expected = adv(rewards, **arrays)
    assert expected.shape == rewards.shape
    mapped = jax.vmap(jax.vmap(lambda r, a: adv(r, **a)))(rewards, arrays)
    np.testing.assert_allclose(mapped, expected, rtol=1e-6, atol=1e-6)
    jitted = jax.jit(lambda r, a: adv(r, **a))
    np.testing.assert_allclose(jitted(rewards, arrays), expected, rtol=1e-6, atol=1e-6)
    jitted(rewards, arrays)
    assert jitted._cache_size() == 1


@EVERY
def test_result_is_float32(name, hyper):
    adv, rewards, arrays = case(name, hyper)
    for dtype in ("bfloat16", "float16", "int32", "bool"):
        coarse = jnp.round(rewards).astype(dtype)  # as bool: a success where it is not 0
        out = adv(coarse, **arrays)
        assert out.dtype == jnp.float32
        np.testing.assert_allclose(out, adv(coarse.astype(jnp.float32), **arrays), rtol=1e-6, atol=1e-6)


def hard_groups(entry):
    """Groups on which a careless formula divides by zero, overflows or leaves a residue."""
    groups = [np.zeros(N), np.ones(N), np.eye(N)[2], 1 - np.eye(N)[2]]
    if entry.reward_kind == "unit":
        groups += [np.full(N, 0.3), np.array([0, 0, 0, 0, 0, 1e-20]), np.array([0.5, 0.5, 0.5, 0.5, 0.5, 1 - 2**-24])]
    if entry.reward_kind == "real":
        groups += [
            np.full(N, 1000.1),
            np.full(N, -3.3),
            np.array([1, 1, 2, 2, 2, 5.0]),
            np.array([-5, -5, -1, 0, 0, 3.0]),
        ]
        groups += [1e6 + np.arange(N), np.array([0, 0, 0, 0, 0, 1e-20]), 1e20 * np.arange(N)]
    return jnp.asarray(np.stack(groups), jnp.float32)


@EVERY
def test_finite_values_and_gradients(name, hyper):
    adv = advantages.get(name, **hyper)
    groups = hard_groups(adv.entry)
    rng = np.random.default_rng(0)
    arrays = {k: jnp.asarray(v, jnp.float32) for k, v in companions(adv.entry, np.asarray(groups), rng).items()}
    with jax.debug_nans(True):
        out = adv(groups, **arrays)
        direction = jnp.asarray(rng.normal(size=groups.shape), jnp.float32)
        gradient = jax.grad(lambda r: jnp.sum(direction * adv(r, **arrays)))(groups)
    assert np.isfinite(out).all()
    assert np.isfinite(gradient).all()


CENTRED = [
    *every_setting(N, keep=lambda entry: entry.centred),
    ("bagirov", {"k": 2, "centering": "mean"}),
    ("partitioned", {"k": 2, "kind": "naive_baseline"}),
]


@pytest.mark.parametrize(("name", "hyper"), CENTRED, ids=label)
def test_centred_entries_sum_to_zero(name, hyper):
    adv, rewards, arrays = case(name, hyper, shape=(50, N))
    out = np.asarray(adv(rewards, **arrays), np.float64)
    scale = np.abs(out).max(axis=-1) + 1e-30
    assert np.all(np.abs(out.sum(axis=-1)) <= 3e-6 * scale)


@pytest.mark.parametrize(("name", "hyper"), CENTRED, ids=label)
def test_centred_entries_are_exactly_zero_for_constant_groups(name, hyper):
    entry = advantages.TABLE[name]
    values = {"binary": (0, 1), "unit": (0, 0.3, 1), "real": (0, 0.3, 1, 1000.1, -7.3)}[entry.reward_kind]
    for value, n in itertools.product(values, (6, 42, 48)):
        rewards = jnp.full((n,), value, jnp.float32)
        arrays = companions(entry, np.asarray(rewards), np.random.default_rng(0))
        out = advantages.get(name, **hyper)(rewards, **arrays)
        assert np.array_equal(out, np.zeros(n)), (value, n, out)


@pytest.mark.parametrize("n", [41, 47, 55, 61, 82])
def test_all_solved_groups_give_exactly_zero_under_maxrl(n):
    assert np.float32(np.ones(n, np.float32).sum() * np.float32(1 / n)) != 1 or n in (61, 82)
    assert np.array_equal(advantages.maxrl(jnp.ones(n)), np.zeros(n))


def test_single_rollouts_are_defined_or_refused():
    one = jnp.ones(1)
    for name in ("mean_baseline", "grpo", "maxrl", "one_sided_grpo", "tailrl", "maxrl_likelihood"):
        assert np.array_equal(advantages.get(name)(one), [0.0])
    assert np.array_equal(advantages.success_mean(one), [1.0])
    assert np.array_equal(advantages.maxrl_unbiased(jnp.zeros(1)), [-1.0])
    for name, hyper in (
        ("rloo", {}),
        ("grpo", {"ddof": 1}),
        ("maxpo", {"k": 1}),
        ("maxrl_order", {"order": 1}),
    ):
        with pytest.raises(ValueError, match=name):
            advantages.get(name, **hyper)(one)


@pytest.mark.parametrize(
    "adv", [*map(advantages.get, ("tailrl", "maxrl_likelihood")), advantages.get("maxpo", k=2)], ids=str
)
def test_gradient_is_the_derivative(adv, x64):
    rewards = jnp.asarray([0.3, -1.0, 2.5, 0.9])
    if adv.entry.reward_kind == "unit":
        rewards = jnp.asarray([0.3, 0.1, 0.5, 0.9])
    got = jax.jacfwd(adv)(rewards)
    step = 1e-6 * np.eye(4)
    numeric = np.stack([(adv(rewards + h) - adv(rewards - h)) / 2e-6 for h in step], axis=1)
    np.testing.assert_allclose(got, numeric, atol=1e-8)


def test_traced_rewards_outside_zero_and_one_stay_finite():
    out = jax.jit(advantages.maxrl)(jnp.asarray([0.3, 0.7, -2.0, 5.0]))
    np.testing.assert_array_equal(out, advantages.maxrl(jnp.asarray([0.0, 1.0, 0.0, 1.0])))
    out = jax.jit(advantages.maxrl_likelihood)(jnp.asarray([0.3, 0.7, -2.0, 5.0]))
    np.testing.assert_allclose(out, advantages.maxrl_likelihood(jnp.asarray([0.3, 0.7, 0.0, 1.0])), rtol=1e-6)
