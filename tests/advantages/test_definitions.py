"""Every estimator equals its definition by enumeration of subsets, with ties, negatives and constant groups."""

import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax import advantages
from tests.advantages.support import DEFINITIONS, companions, every_setting, label, rewards_for


def test_every_entry_has_a_definition():
    assert set(DEFINITIONS) == set(advantages.names())


@pytest.mark.parametrize("num_rollouts", [1, 2, 3, 6])
@pytest.mark.parametrize("name", advantages.names())
def test_equals_definition(name, num_rollouts, x64):
    rng = np.random.default_rng(num_rollouts)
    entry = advantages.TABLE[name]
    settings = []
    for hyper in entry.settings(num_rollouts):
        try:
            advantages.get(name, **hyper).check(num_rollouts)
        except ValueError:
            continue  # N = 1, where some are not defined: tests of the contracts
        settings.append(hyper)
    rewards = rewards_for(entry, rng, (9, num_rollouts))
    rewards[0], rewards[1] = 0, 1
    for hyper in settings:
        arrays = companions(entry, rewards, rng)
        got = advantages.get(name, **hyper)(
            jnp.asarray(rewards), **{key: jnp.asarray(value) for key, value in arrays.items()}
        )
        assert got.dtype == jnp.float64
        for row in range(len(rewards)):
            expected = DEFINITIONS[name](rewards[row], **hyper, **{key: value[row] for key, value in arrays.items()})
            np.testing.assert_allclose(got[row], expected, rtol=0, atol=1e-11, err_msg=f"{hyper}")


@pytest.mark.parametrize(
    ("name", "hyper"), every_setting(6, keep=lambda entry: entry.binary_form is not None), ids=label
)
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
