"""Prompts of different lengths, padded on the right: rollouts, scores and gradients are those of each prompt alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from maxrl_jax.lm.rollout import Settings, rollout
from maxrl_jax.lm.update import Batch, LossSettings, Plan, loss_and_gradients, score
from tests.lm.decoder.tiny import GEMMA2, QWEN3, run_compiled, tiny_model

P, N, S, T = 3, 4, 9, 7
LENGTHS = np.array([4, 9, 1])
PROMPTS = np.random.default_rng(0).integers(0, 11, (P, S))
KEY = jax.random.key(3)


def padded(padding):
    return jnp.where(jnp.arange(S) < LENGTHS[:, None], PROMPTS, padding)


def compute(model, function):
    graphdef, params = nnx.split(model)
    return run_compiled(lambda params: function(nnx.merge(graphdef, params)), params)


@pytest.mark.parametrize(("mechanisms", "max_rows"), [(QWEN3, None), (GEMMA2, 8)])
def test_answers_are_those_to_each_prompt_alone(x64, mechanisms, max_rows):
    model, settings = tiny_model(jnp.float64, **mechanisms), Settings(T, (3,), cache_segment=4)
    mixed = compute(
        model,
        lambda model: rollout(
            model, padded(10), KEY, N, settings, prompt_lengths=jnp.asarray(LENGTHS), max_rows=max_rows
        ),
    )
    for p, length in enumerate(LENGTHS):
        prompt = jnp.asarray(PROMPTS[p : p + 1, :length])
        alone = compute(
            model,
            lambda model, p=p, prompt=prompt: rollout(model, prompt, KEY, N, settings, prompt_ids=jnp.array([p])),
        )
        np.testing.assert_array_equal(mixed.tokens[p], alone.tokens[0])
        np.testing.assert_allclose(mixed.log_probs[p], alone.log_probs[0], atol=1e-6)
        np.testing.assert_allclose(mixed.entropies[p], alone.entropies[0], atol=1e-6)


@pytest.mark.parametrize("mechanisms", [pytest.param(QWEN3, marks=pytest.mark.slow), GEMMA2])
def test_scores_and_gradients_are_the_sums_over_each_prompt_alone(x64, mechanisms):
    model, settings = tiny_model(jnp.float64, **mechanisms), LossSettings()
    generator = np.random.default_rng(1)
    tokens = jnp.asarray(generator.integers(0, 11, (P, N, T)))
    mask = jnp.arange(T) < jnp.asarray(generator.integers(1, T + 1, (P, N)))[..., None]
    advantages = jnp.asarray(generator.normal(size=(P, N)))
    total = jnp.float64(P * N)

    def of(prompts, rows, lengths, plan):
        batch = Batch(prompts, tokens[rows], mask[rows], advantages[rows], prompt_lengths=lengths)

        def both(model):
            update = loss_and_gradients(model, batch, settings, plan, denominator=total, compute_dtype=jnp.float64)
            return update, score(model, prompts, tokens[rows], settings, plan, prompt_lengths=lengths)

        return compute(model, both)

    # Two prompts a group: the last group is filled up with a prompt of no length.
    mixed, scores = of(padded(10), slice(None), jnp.asarray(LENGTHS), Plan(2, (3, T), (2, 3)))
    parts = [
        of(jnp.asarray(PROMPTS[p : p + 1, :length]), slice(p, p + 1), None, Plan(1, (T,), (N,)))
        for p, length in enumerate(LENGTHS)
    ]
    np.testing.assert_allclose(scores, jnp.concatenate([part[1] for part in parts]), atol=1e-9)
    np.testing.assert_allclose(mixed.loss, sum(part[0].loss for part in parts), rtol=1e-9)
    summed = jax.tree.map(lambda *leaves: sum(leaves), *(part[0].gradients for part in parts))

    def same(ours, theirs):
        assert np.abs(theirs).max() > 1e-6  # every parameter takes part
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8 * np.abs(theirs).max())

    jax.tree.map(same, mixed.gradients, summed)
