"""Cached decoding against full forward passes, and what a rollout promises."""

import collections
import doctest
import sys

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from maxrl_jax.lm import sampling
from maxrl_jax.lm.rollout import Settings, engine, rollout
from tests.lm.decoder.tiny import GEMMA2, QWEN3, plain_log_probs, plain_logits, run_compiled, run_plain, tiny_model

PROMPTS = jax.random.randint(jax.random.key(1), (3, 7), 0, 11)
KEY = jax.random.key(2)
STOPS = (3, 5)


def jitted(model, num_rollouts, settings, prompts=PROMPTS, key=KEY, **options):
    graphdef, params = nnx.split(model)

    def run(params):
        return rollout(nnx.merge(graphdef, params), prompts, key, num_rollouts, settings, **options)

    return run_compiled(run, params)


@pytest.mark.parametrize(
    ("settings", "mechanisms"),
    [
        (Settings(9, STOPS), {}),
        (Settings(9, STOPS, temperature=0.7, top_p=0.8, cache_segment=5), {}),
        (Settings(1, ()), {}),
        (Settings(9, (), cache_segment=5), QWEN3),
        (Settings(9, (), temperature=0.7), GEMMA2),
    ],
)
def test_log_probs_are_those_of_a_full_forward_pass(x64, settings, mechanisms):
    model = tiny_model(jnp.float64, **mechanisms)
    answers = jitted(model, 4, settings)
    log_probs, entropies = run_plain(
        plain_log_probs, model, PROMPTS, answers.tokens, settings.temperature, settings.top_p
    )
    np.testing.assert_allclose(answers.log_probs, jnp.where(answers.mask, log_probs, 0), atol=1e-6)
    np.testing.assert_allclose(answers.entropies, jnp.where(answers.mask, entropies, 0).sum(-1), atol=5e-6)
    assert np.unique(answers.tokens[answers.mask]).size > 3


def test_float32_and_bfloat16_stay_close_to_the_full_forward_pass():
    model = tiny_model()
    for dtype, tolerance in ((jnp.float32, 1e-5), (jnp.bfloat16, 0.15)):
        answers = jitted(model.computing(dtype), 4, Settings(9, ()))
        log_probs, _ = run_plain(plain_log_probs, model, PROMPTS, answers.tokens)
        assert jnp.abs(answers.log_probs - log_probs).max() < tolerance
        assert answers.log_probs.dtype == jnp.float32


def test_an_answer_ends_with_its_first_stop_token():
    answers = jax.device_get(jitted(tiny_model(num_layers=1), 16, Settings(9, STOPS, pad_token=10)))
    seen = collections.Counter()
    for tokens, mask, length in zip(
        answers.tokens.reshape(-1, 9), answers.mask.reshape(-1, 9), answers.lengths.reshape(-1), strict=True
    ):
        stops = [t for t in range(9) if tokens[t] in STOPS]
        expected = stops[0] + 1 if stops else 9
        assert length == expected
        assert mask.tolist() == [t < expected for t in range(9)]
        assert (tokens[expected:] == 10).all()
        seen[bool(stops)] += 1
    assert seen[True] > 5


@pytest.mark.parametrize("stops", [STOPS, tuple(range(11))])
def test_decoding_ends_when_every_row_is_done(monkeypatch, stops):
    steps, forward = [], engine._forward

    def counted(*arguments):
        jax.debug.callback(lambda: steps.append(1))
        return forward(*arguments)

    monkeypatch.setattr(engine, "_forward", counted)
    answers = jitted(tiny_model(num_layers=1), 4, Settings(40, stops, cache_segment=20))
    jax.effects_barrier()
    longest = int(answers.lengths.max())
    assert longest < 40
    assert len(steps) == longest - 1  # the first token comes from the prompt


def test_greedy_decoding_takes_the_most_probable_token():
    model = tiny_model()
    answers = jitted(model, 2, Settings(9, (), temperature=0.0))
    logits = run_plain(plain_logits, model, PROMPTS, answers.tokens)
    np.testing.assert_array_equal(answers.tokens, logits.argmax(-1))
    log_probs, _ = run_plain(plain_log_probs, model, PROMPTS, answers.tokens)
    np.testing.assert_allclose(answers.log_probs, log_probs, atol=1e-5)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.6, 0.9)])
def test_answers_follow_the_sampling_distribution(temperature, top_p):
    model = tiny_model(vocab_size=4, num_layers=1)
    prompts, N = jnp.asarray([[1, 2, 0]]), 40_000
    answers = jitted(model, N, Settings(2, (), temperature, top_p), prompts)
    pairs = jnp.stack(jnp.meshgrid(jnp.arange(4), jnp.arange(4), indexing="ij"), -1).reshape(1, 16, 2)
    # By enumeration; without `keep`, a pair that top-p leaves out has probability 0.
    logits = run_plain(plain_logits, model, prompts, pairs)
    log_probs = np.asarray(sampling.log_probs(logits, temperature, top_p), np.float64)
    expected = np.exp(np.take_along_axis(log_probs, np.asarray(pairs)[..., None], -1)[..., 0].sum(-1))[0]
    observed = np.bincount(answers.tokens[0] @ np.array([4, 1]), minlength=16) / N
    np.testing.assert_allclose(expected.sum(), 1, rtol=1e-5)
    error = np.abs(observed - expected) / np.sqrt(expected * (1 - expected) / N + 1e-30)
    assert error[expected > 0].max() < 4.5
    assert observed[expected == 0].sum() == 0
    assert (expected == 0).any() == (top_p < 1)


@pytest.mark.parametrize("max_rows", [8, 3])
def test_answers_do_not_depend_on_the_chunks(x64, max_rows):
    model, settings = tiny_model(jnp.float64, num_layers=1), Settings(5, STOPS)
    whole = jitted(model, 4, settings)
    chunked = jitted(model, 4, settings, max_rows=max_rows)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), whole, chunked)


def test_a_prompt_has_its_own_stream_wherever_it_stands(x64):
    model, settings = tiny_model(jnp.float64, num_layers=1), Settings(5, ())
    whole = jitted(model, 4, settings)
    alone = jitted(model, 2, settings, PROMPTS[2:], prompt_ids=jnp.asarray([2]))
    np.testing.assert_array_equal(whole.tokens[2:, :2], alone.tokens)
    other = jitted(model, 4, settings, key=jax.random.key(3))
    assert (whole.tokens != other.tokens).any()
    same_prompt = jitted(model, 4, settings, jnp.repeat(PROMPTS[:1], 2, 0))
    assert (same_prompt.tokens[0] != same_prompt.tokens[1]).any()


def test_the_prompt_cache_is_never_copied_for_each_rollout():
    model, N, prompts = tiny_model(max_positions=256), 256, jnp.zeros((2, 200), jnp.int32)
    graphdef, params = nnx.split(model)
    jaxpr = jax.make_jaxpr(lambda p: rollout(nnx.merge(graphdef, p), prompts, KEY, N, Settings(3, ())))(params)
    prefix = 2 * 2 * 200 * 4  # prompts, key-value heads, positions, head width
    assert prefix < max(sizes(jaxpr.jaxpr)) < N * prefix


def sizes(jaxpr):
    """Elements of every result in a program, those inside loops and branches too."""
    for equation in jaxpr.eqns:
        yield from (variable.aval.size for variable in equation.outvars)
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from sizes(inner)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Settings(0, ()), "max_new_tokens: got 0, allowed: a positive integer"),
        (lambda: Settings(4, (), top_p=0.0), "top_p: got 0.0, allowed"),
        (lambda: rollout(tiny_model(), PROMPTS, KEY, 0, Settings(4, ())), "num_rollouts: got 0"),
        (lambda: rollout(tiny_model(), PROMPTS, KEY, 1, Settings(4, ()), max_rows=0), "max_rows: got 0"),
    ],
)
def test_impossible_settings_are_one_line(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_documented_example():
    assert doctest.testmod(sys.modules["maxrl_jax.lm.rollout.chunks"]).failed == 0
