"""A finite training set: every epoch goes through the whole set once, in an order of its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from maxrl_jax.tasks.epochs import epoch_indices


# Whole epochs in one batch, batches that run on into the next epoch, sets smaller than a batch, a set of one.
@pytest.mark.parametrize(("set_size", "batch"), [(1, 4), (2, 3), (5, 2), (10, 32), (64, 16), (100, 32), (1000, 96)])
def test_every_epoch_is_a_permutation(set_size, batch):
    steps = -(-4 * set_size // batch)
    draw = jax.jit(lambda step: epoch_indices(jax.random.key(1), step, batch, set_size))
    indices = np.concatenate([draw(step) for step in range(steps)])
    epochs = indices[: 4 * set_size].reshape(4, set_size)
    assert (np.sort(epochs, axis=1) == np.arange(set_size)).all()
    if set_size >= 64:
        assert len({epoch.tobytes() for epoch in epochs}) == 4
        assert not (epochs[0] == np.arange(set_size)).all()


def test_indices_are_a_function_of_key_and_step():
    draw = jax.vmap(lambda step: epoch_indices(jax.random.key(2), step, 16, 50))
    together = draw(jnp.arange(20))
    assert epoch_indices(jax.random.key(2), 13, 16, 50).tolist() == together[13].tolist()
    assert epoch_indices(jax.random.key(3), 13, 16, 50).tolist() != together[13].tolist()


def test_orders_are_uniform():
    # Where each of 6 problems comes in 12,000 epochs, and which pair comes first; false-alarm rate 1e-4 each.
    epochs = 12_000
    indices = epoch_indices(jax.random.key(4), 0, 6 * epochs, 6).reshape(epochs, 6)
    places = np.stack([np.bincount(column, minlength=6) for column in np.asarray(indices).T])
    # Rows and columns of the table of places are fixed by the permutations: (6 - 1)^2 degrees of freedom, and the
    # chi-square statistic is scaled by (6 - 1) / 6.
    statistic = ((places - epochs / 6) ** 2 / (epochs / 6)).sum() * 5 / 6
    assert stats.chi2.sf(statistic, 25) > 1e-4
    pairs = np.bincount(np.asarray(indices[:, 0] * 6 + indices[:, 1]), minlength=36).reshape(6, 6)
    assert (np.diag(pairs) == 0).all()
    assert stats.chisquare(pairs[~np.eye(6, dtype=bool)]).pvalue > 1e-4


@pytest.mark.parametrize("set_size", [0, 2**30 + 1])
def test_impossible_sets_are_refused(set_size):
    with pytest.raises(ValueError, match=rf"finite training set: got {set_size} problems, allowed: 1 \.\. 2\^30"):
        epoch_indices(jax.random.key(0), 0, 4, set_size)
