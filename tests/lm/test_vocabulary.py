"""Large vocabularies: chunked log-probabilities, top-p by bisection and the two-level draw against the flat ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from maxrl_jax.lm import sampling, vocabulary
from maxrl_jax.lm.decoder import soft_cap
from maxrl_jax.lm.rollout import Settings, rollout
from maxrl_jax.lm.update import Batch, LossSettings, Plan, loss_and_gradients
from maxrl_jax.lm.vocabulary import Distribution
from tests.lm.decoder.tiny import GEMMA2, run_compiled, tiny_model
from tests.lm.test_rollout import sizes

M, D, V = 7, 5, 37


def dense(hidden, matrix, tokens, distribution):
    """(log-probabilities, entropies) from all logits at once."""
    logits = soft_cap(hidden @ matrix.T, distribution.soft_cap)
    log_probs = sampling.log_probs(logits, distribution.temperature, distribution.top_p, keep=tokens)
    return sampling.pick(log_probs, tokens), sampling.entropy(log_probs)


@pytest.mark.parametrize("chunk_rows", [1, 3, 100])
@pytest.mark.parametrize(
    "distribution",
    [Distribution(), Distribution(0.7, 0.8), Distribution(1.3, soft_cap=2.0), Distribution(0.5, 0.3, 1.5)],
)
def test_chunked_is_dense_in_values_and_gradients(x64, monkeypatch, chunk_rows, distribution):
    monkeypatch.setattr(vocabulary, "CHUNK_ELEMENTS", chunk_rows * V)
    generator = np.random.default_rng(0)
    hidden, matrix = (jnp.asarray(generator.normal(size=shape)) for shape in ((M, D), (V, D)))
    tokens = jnp.asarray(generator.integers(0, V, M))
    weights = jnp.asarray(generator.normal(size=(2, M)))

    def total(function, hidden, matrix):
        pair = function(hidden, matrix, tokens, distribution)
        return jnp.sum(weights[0] * pair[0] + weights[1] * pair[1]), pair

    def both(function):
        return jax.jit(jax.grad(lambda *inputs: total(function, *inputs), argnums=(0, 1), has_aux=True))(hidden, matrix)

    ours, expected = both(vocabulary.log_probs_and_entropies), both(dense)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), ours, expected)
    assert all(np.abs(gradient).max() > 0.1 for gradient in expected[0])


def test_the_gradient_keeps_the_types_of_its_inputs():
    hidden, matrix = jnp.ones((M, D), jnp.bfloat16), jnp.ones((V, D), jnp.bfloat16)
    gradients = jax.grad(
        lambda *inputs: vocabulary.log_probs_and_entropies(*inputs, jnp.zeros(M, int), Distribution())[0].sum(), (0, 1)
    )(hidden, matrix)
    assert [gradient.dtype for gradient in gradients] == [jnp.bfloat16] * 2


@pytest.mark.parametrize("top_p", [1e-6, 0.2, 0.5, 0.9, 0.999, 1 - 1e-7])
def test_top_p_by_bisection_keeps_what_a_sort_keeps(x64, top_p):
    generator = np.random.default_rng(1)
    logits = jnp.asarray(
        np.concatenate([
            generator.normal(size=(20, 500)) * 4,
            generator.integers(0, 4, (20, 500)),  # many ties
            np.full((1, 500), -3.0),  # nothing but ties
            np.eye(500)[:1] * 900,  # one token has everything
        ])
    )  # fmt: skip
    log_probs = jax.nn.log_softmax(logits)
    weights = 3 * jnp.exp(log_probs)
    kept = weights >= vocabulary.nucleus_edge(weights, top_p)[:, None]
    np.testing.assert_array_equal(kept, sampling._nucleus(log_probs, top_p))


def test_top_p_in_float32_differs_from_a_sort_by_rounding_alone():
    weights = jax.nn.softmax(4 * jax.random.normal(jax.random.key(0), (8, 20_000)))
    for top_p in (0.3, 0.95):
        kept = weights >= vocabulary.nucleus_edge(weights, top_p)[:, None]
        mass = np.asarray(weights, np.float64)
        total, least = np.sum(mass, 1, where=kept), np.min(mass, 1, where=kept, initial=1)
        assert (total > top_p - 1e-5).all()
        assert (total - least < top_p + 1e-5).all()


def test_two_level_draws_follow_the_probabilities_exactly():
    probabilities = np.zeros(1000)
    probabilities[[3, 255, 256, 700, 999]] = [0.1, 0.2, 0.3, 0.25, 0.15]  # on both sides of a block's edge
    uniforms = (jnp.arange(2000) + 0.5) / 2000
    tokens = vocabulary.draw(jnp.broadcast_to(7 * probabilities, (2000, 1000)), uniforms)
    counts = np.bincount(tokens, minlength=1000)
    np.testing.assert_allclose(counts, 2000 * probabilities, atol=1)
    assert (np.diff(tokens) >= 0).all()


@pytest.mark.parametrize("uniform", [0.0, 1 - 2.0**-24])
def test_the_ends_of_the_unit_interval_draw_possible_tokens(uniform):
    probabilities = np.zeros(600)
    probabilities[[300, 500]] = [0.3, 0.7]
    assert vocabulary.draw(jnp.asarray(probabilities), jnp.float32(uniform)) == (300 if uniform == 0 else 500)


@pytest.fixture
def large(monkeypatch):
    """Every vocabulary is a large one, in chunks of a few rows."""

    def switch(on):
        monkeypatch.setattr(vocabulary, "FLAT", 0 if on else 4096)
        monkeypatch.setattr(vocabulary, "CHUNK_ELEMENTS", 5 * 11)

    return switch


P, N, S, T = 2, 3, 4, 5


def batch_of(mask):
    generator = np.random.default_rng(2)
    tokens = jnp.asarray(generator.integers(0, 11, (P, N, T)))
    return Batch(
        jnp.asarray(generator.integers(0, 11, (P, S))), tokens, mask, jnp.asarray(generator.normal(size=(P, N)))
    )


@pytest.mark.parametrize(
    "settings", [LossSettings(entropy_coef=0.3), LossSettings("token_mean", temperature=0.7, top_p=0.8)]
)
def test_the_update_is_that_of_a_small_vocabulary(x64, large, settings):
    graphdef, params = nnx.split(tiny_model(jnp.float64, **GEMMA2))
    batch = batch_of(jnp.ones((P, N, T), bool))

    def update(params):
        model = nnx.merge(graphdef, params)
        return loss_and_gradients(model, batch, settings, Plan(1, (T,), (2,)), compute_dtype=jnp.float64)

    results = []
    for on in (True, False):
        large(on)
        results.append(run_compiled(lambda params, on=on: update(params), params))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), *results)
    assert results[0].trained_tokens == P * N * T


@pytest.mark.parametrize(("temperature", "top_p"), [(0.8, 1.0), (0.8, 0.7), (0.0, 1.0)])
def test_rollouts_are_those_of_a_small_vocabulary(x64, large, temperature, top_p):
    graphdef, params = nnx.split(tiny_model(jnp.float64, num_layers=1))
    prompts, settings, results = jnp.zeros((P, S), int), Settings(T, (3,), temperature, top_p), []
    for on in (True, False):
        large(on)
        results.append(
            run_compiled(
                lambda params, on=on: rollout(nnx.merge(graphdef, params), prompts, jax.random.key(0), 20, settings),
                params,
            )
        )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), *results)


def test_no_array_of_tokens_by_vocabulary_is_in_the_program(monkeypatch):
    vocabulary_size, rows = 5000, 4
    monkeypatch.setattr(vocabulary, "CHUNK_ELEMENTS", rows * vocabulary_size)
    model = tiny_model(num_layers=1, vocab_size=vocabulary_size)
    graphdef, params = nnx.split(model)
    mask = jnp.ones((P, N, T), bool)
    settings = LossSettings(entropy_coef=0.1, temperature=0.7, top_p=0.8)

    def step(params):
        merged = nnx.merge(graphdef, params)
        answers = rollout(merged, jnp.zeros((P, S), int), jax.random.key(0), N, Settings(T, (), 0.7, 0.8))
        batch = Batch(jnp.zeros((P, S), int), answers.tokens, mask, jnp.ones((P, N)))
        return loss_and_gradients(merged, batch, settings, Plan(P, (T,), (N,)))

    hidden = model.config.hidden_size
    largest = max(sizes(jax.make_jaxpr(step)(params).jaxpr))
    assert rows * vocabulary_size <= largest <= max(hidden, P * N + 1) * vocabulary_size + 256 * P * N
    assert largest < P * N * T * vocabulary_size
