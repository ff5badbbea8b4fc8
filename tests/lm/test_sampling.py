"""The sampling distribution and the draw from it, by exact enumeration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax.lm import sampling

LOGITS = np.log(np.array([0.1, 0.4, 0.05, 0.25, 0.2]))


@pytest.mark.parametrize(
    ("temperature", "top_p", "weights"),
    [
        (1.0, 1.0, [0.1, 0.4, 0.05, 0.25, 0.2]),
        (0.5, 1.0, [0.1**2, 0.4**2, 0.05**2, 0.25**2, 0.2**2]),
        (1.0, 0.64, [0, 0.4, 0, 0.25, 0]),  # 0.4 is short of it, 0.65 reaches it
        (1.0, 0.66, [0, 0.4, 0, 0.25, 0.2]),
        (1.0, 1e-6, [0, 1, 0, 0, 0]),  # the most probable token always stays
        (2.0, 0.5, [0, 0.4**0.5, 0, 0.25**0.5, 0]),  # top-p counts what the temperature left
    ],
)
def test_temperature_then_top_p(x64, temperature, top_p, weights):
    log_probs = sampling.log_probs(jnp.asarray(LOGITS), temperature, top_p)
    np.testing.assert_allclose(jnp.exp(log_probs), np.array(weights) / np.sum(weights), rtol=1e-12)


def test_equally_probable_tokens_at_the_edge_all_stay():
    log_probs = sampling.log_probs(jnp.zeros(4), 1.0, 0.3)
    np.testing.assert_allclose(jnp.exp(log_probs), np.full(4, 0.25), rtol=1e-6)


def test_a_drawn_token_keeps_a_finite_log_probability():
    log_probs = sampling.log_probs(jnp.asarray(LOGITS), 1.0, 0.6, keep=jnp.asarray(2))
    np.testing.assert_allclose(jnp.exp(log_probs), np.array([0, 0.4, 0.05, 0.25, 0]) / 0.7, rtol=1e-6)


def test_gradient_is_that_of_the_softmax_over_the_kept_tokens(x64):
    gradient = jax.grad(lambda logits: sampling.log_probs(logits, 0.5, 0.6)[1])(jnp.asarray(LOGITS))
    kept = np.array([0, 0.4**2, 0, 0.25**2, 0]) / (0.4**2 + 0.25**2)
    np.testing.assert_allclose(gradient, 2 * (np.eye(5)[1] - kept), atol=1e-12)


def test_draws_follow_the_probabilities_exactly():
    log_probs = sampling.log_probs(jnp.asarray(LOGITS), 1.0, 0.6)  # tokens 0, 2 and 4 are out
    uniforms = (jnp.arange(6500) + 0.5) / 6500
    tokens = sampling.draw(jnp.broadcast_to(log_probs, (6500, 5)), uniforms)
    counts = np.bincount(tokens, minlength=5)
    assert counts[[0, 2, 4]].sum() == 0
    np.testing.assert_allclose(counts[[1, 3]], [4000, 2500], atol=1)


@pytest.mark.parametrize("uniform", [0.0, 1 - 2.0**-24])
def test_the_ends_of_the_unit_interval_draw_possible_tokens(uniform):
    log_probs = jnp.log(jnp.asarray([0.0, 0.3, 0.0, 0.7, 0.0]))
    assert sampling.draw(log_probs, jnp.float32(uniform)) == (1 if uniform == 0 else 3)


def test_entropy_counts_impossible_tokens_as_nothing():
    entropy = sampling.entropy(jnp.log(jnp.asarray([0.5, 0.0, 0.5])))
    np.testing.assert_allclose(entropy, np.log(2), rtol=1e-6)


@pytest.mark.parametrize(
    ("temperature", "top_p"), [(-1.0, 1.0), (float("nan"), 1.0), (1e-40, 1.0), (-1e-40, 1.0), (1.0, 0.0), (1.0, 1.1)]
)
def test_settings_without_a_distribution_are_refused(temperature, top_p):
    with pytest.raises(ValueError, match=r"(temperature|top_p): got .*, allowed"):
        sampling.check(temperature, top_p)


def test_the_smallest_temperature_picks_the_largest_logit():
    log_probs = sampling.log_probs(jnp.array([[-90.0, 90.0, 3.0]]), sampling.SMALLEST, 1.0)
    assert log_probs.tolist() == [[-jnp.inf, 0.0, -jnp.inf]] or jnp.isfinite(log_probs[0, 1])
