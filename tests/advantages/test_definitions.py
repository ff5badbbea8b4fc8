"""Every estimator equals its definition by enumeration of subsets, with ties, negatives and constant groups."""

import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax import advantages
from tests.advantages.support import companions, label, legal_settings, rewards_for, symmetric_settings

CASES = [(n, name) for n in (1, 2, 3, 6) for name, entry in advantages.TABLE.items() if legal_settings(entry, n)]


@pytest.mark.parametrize(("num_rollouts", "name"), CASES)
def test_equals_definition(num_rollouts, name, x64):
    rng = np.random.default_rng(num_rollouts)
    entry = advantages.TABLE[name]
    rewards = rewards_for(entry, rng, (9, num_rollouts))
    rewards[0], rewards[1] = 0, 1
    for hyper in legal_settings(entry, num_rollouts):
        arrays = companions(entry, rewards, rng)
        adv = advantages.get(name, **hyper)
        got = adv(jnp.asarray(rewards), **{key: jnp.asarray(value) for key, value in arrays.items()})
        assert got.dtype == jnp.float64
        for row in range(len(rewards)):
            of_row = {key: value[row] for key, value in arrays.items()}
            expected = entry.definition(rewards[row], **dict(adv.hyper), **of_row)
            np.testing.assert_allclose(got[row], expected, rtol=0, atol=1e-11, err_msg=f"{hyper}")


@pytest.mark.parametrize(("name", "hyper"), symmetric_settings(6), ids=label)
def test_binary_form_equals_the_function(name, hyper, x64):
    n = 6
    adv = advantages.get(name, **hyper)
    success, fail = adv.binary_form(np.arange(n + 1), n)
    groups = (np.arange(n) < np.arange(n + 1)[:, None]).astype(float)
    values = np.asarray(adv(jnp.asarray(groups)))
    expected = np.where(groups > 0, np.broadcast_to(success, n + 1)[:, None], np.broadcast_to(fail, n + 1)[:, None])
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)
    traced = adv.binary_form(jnp.arange(n + 1), n)
    np.testing.assert_allclose(np.broadcast_to(traced[0], n + 1)[1:], np.broadcast_to(success, n + 1)[1:], atol=1e-6)
    np.testing.assert_allclose(np.broadcast_to(traced[1], n + 1)[:-1], np.broadcast_to(fail, n + 1)[:-1], atol=1e-6)
