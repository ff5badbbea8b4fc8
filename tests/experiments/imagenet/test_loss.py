"""The losses against their limits, and per-image gradients against plain ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.imagenet import gradient_norms, measures
from experiments.imagenet import loss as image_loss
from experiments.imagenet.training import metrics
from maxrl_jax import advantages
from maxrl_jax.vision import resnet

LOGITS = 3 * jax.random.normal(jax.random.key(0), (6, 12))
LABELS = jnp.arange(6)


def gradient(advantage, num_rollouts, sampling, key=None):
    """The gradient of the summed losses with respect to the logits, [6, 12]."""
    key = jax.random.key(1) if key is None else key

    def loss(logits):
        return image_loss.terms(logits, LABELS, key, num_rollouts, advantage, sampling).loss.sum()

    return jax.grad(loss)(LOGITS)


@pytest.mark.parametrize("num_rollouts", [2, 128, 10**6])
def test_maxrl_falls_short_of_cross_entropy_by_the_rate_of_no_success(num_rollouts):
    """w(p) = (1-(1-p)^(N-1))/p, so what is missing of cross-entropy's gradient is (1-p)^(N-1), image by image."""
    p = jnp.take_along_axis(jax.nn.softmax(LOGITS), LABELS[:, None], axis=1)
    exact = gradient(None, num_rollouts, "expected")
    missing = exact - gradient(advantages.get("maxrl"), num_rollouts, "expected")
    np.testing.assert_allclose(missing, (1 - p) ** (num_rollouts - 1) * exact, atol=2e-5)


def test_cross_entropy_is_cross_entropy():
    terms = image_loss.terms(LOGITS, LABELS, jax.random.key(0), 4, None, "counts")
    log_pi = np.log(np.asarray(jax.nn.softmax(LOGITS)))
    np.testing.assert_allclose(terms.loss, [-log_pi[i, i] for i in range(6)], rtol=1e-5)
    onehot = np.eye(12)[:6]
    np.testing.assert_allclose(gradient(None, 4, "counts"), np.exp(log_pi) - onehot, atol=1e-6)
    np.testing.assert_allclose(terms.solved, [1 - (1 - np.exp(log_pi[i, i])) ** 4 for i in range(6)], rtol=1e-4)


def test_measures_are_exact():
    out = measures.measures(LOGITS, LABELS)
    pi = np.asarray(jax.nn.softmax(LOGITS), np.float64)
    p = pi[np.arange(6), np.arange(6)]
    assert {f"pass@{k}" for k in (1, 128, 256)} <= set(out)
    for k in measures.KS:
        np.testing.assert_allclose(out[f"pass@{k}"], 1 - (1 - p) ** k, rtol=1e-4)
    np.testing.assert_allclose(out["entropy"], -(pi * np.log(pi)).sum(1), rtol=1e-5)
    np.testing.assert_array_equal(out["top1"], pi.argmax(1) == np.arange(6))


def test_a_batchs_metrics_are_means():
    out = metrics(LOGITS, LABELS, jnp.array([1.0, 0, 0, 1, 1, 1]))
    assert float(out["all_fail"]) == pytest.approx(1 / 3)
    assert float(out["reward_mean"]) == float(out["pass@1"])
    assert out["pass@1"] == pytest.approx(float(measures.measures(LOGITS, LABELS)["pass@1"].mean()))


def test_gradient_norms_of_single_images():
    """In chunks and by vmap as one by one by jax.grad; exact MaxRL is 1-(1-p)^(N-1) of cross-entropy."""
    network = resnet.Network.make(resnet.Config(8, 3, "stride2", 5, 1))
    params, stats = jax.jit(network.init)(jax.random.key(0))
    # Spread the classes' probabilities.
    params["head"]["kernel"] = params["head"]["kernel"] * 100
    images = jax.random.normal(jax.random.key(1), (5, 8, 8, 1))
    labels = jnp.arange(5)
    losses = [
        gradient_norms.make_loss(None, 4, "expected"),
        gradient_norms.make_loss(advantages.get("maxrl"), 4, "expected"),
        gradient_norms.make_loss(advantages.get("reinforce"), 4, "expected"),
    ]
    assert [(loss.name, loss.num_rollouts) for loss in losses] == [("cross_entropy", 0), ("maxrl", 4), ("reinforce", 4)]
    rates, norms = gradient_norms.norms(
        network, params, stats, np.asarray(images), np.asarray(labels), losses, jax.random.key(2), chunk=2
    )
    assert rates.shape == (5,) and norms.shape == (5, 3)
    np.testing.assert_allclose(norms[:, 1], (1 - (1 - rates) ** 3) * norms[:, 0], rtol=1e-4)
    np.testing.assert_allclose(norms[:, 2], rates * norms[:, 0], rtol=1e-4)

    @jax.jit
    def one(image, label):
        def loss(params):
            return -jax.nn.log_softmax(network.predict(params, stats, image[None])[0])[label]

        squares = [jnp.sum(leaf**2) for leaf in jax.tree.leaves(jax.grad(loss)(params))]
        return jnp.sqrt(sum(squares))

    np.testing.assert_allclose(norms[:, 0], [one(images[i], labels[i]) for i in range(5)], rtol=1e-4)
