"""Answers of another engine: what their weights are worth, by enumeration, and what a wrong engine is told."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax import advantages, losses
from maxrl_jax.lm import step
from maxrl_jax.lm.engine import Answers, External
from maxrl_jax.lm.rollout import Rollouts, Settings
from maxrl_jax.lm.task import Prompts

V, T = 3, 2
WHOLE = np.array(list(itertools.product(range(V), repeat=T)))  # every answer
REWARDS = np.random.default_rng(0).normal(size=len(WHOLE))
OURS, THEIRS = np.random.default_rng(1).normal(size=(2, T, V))


def of_tokens(logits, answers):
    """Log-probabilities of the answers' tokens, each place with logits of its own."""
    return jax.nn.log_softmax(logits)[jnp.arange(T), answers]


@pytest.mark.parametrize("name", ["reinforce", "rloo"])
@pytest.mark.parametrize("theirs", [OURS, THEIRS])
def test_weighted_answers_of_another_engine_give_the_gradient_without_bias(x64, name, theirs):
    """Over every group of answers, with its probability under the engine; weights of 1 where it is the policy."""
    size = 1 if name == "reinforce" else 2
    groups = np.array(list(itertools.product(range(len(WHOLE)), repeat=size)))
    tokens, estimator = WHOLE[groups], advantages.get(name)
    drawn = of_tokens(jnp.asarray(theirs), tokens)
    mask = jnp.ones(tokens.shape, bool)
    weights = step.weights(
        of_tokens(jnp.asarray(OURS), tokens), Rollouts(tokens, mask, drawn, drawn.sum(-1), mask.sum(-1))
    )
    if theirs is OURS:
        np.testing.assert_array_equal(weights, 1)
    values = estimator(REWARDS[groups]) * weights * len(groups) * jnp.exp(drawn.sum((1, 2)))[:, None]

    def loss(logits):
        return losses.policy_gradient(of_tokens(logits, tokens), mask, values, "sequence_sum")

    def objective(logits):
        return jnp.sum(jnp.exp(of_tokens(logits, WHOLE).sum(-1)) * REWARDS)

    np.testing.assert_allclose(-jax.grad(loss)(jnp.asarray(OURS)), jax.grad(objective)(jnp.asarray(OURS)), atol=1e-12)


def test_weights_are_of_the_answers_alone():
    mask = jnp.asarray([[[True, False]]])
    answers = Rollouts(
        jnp.zeros((1, 1, 2), int), mask, jnp.log(jnp.asarray([[[0.5, 0.1]]])), 0 * mask.sum(-1), mask.sum(-1)
    )
    np.testing.assert_allclose(step.weights(jnp.log(jnp.asarray([[[0.75, 0.9]]])), answers), [[1.5]], rtol=1e-6)


SETTINGS = Settings(3, (9,), pad_token=7)
PROMPTS = Prompts(np.zeros((2, 4), np.int32), state=np.ones(2))


def drawn(**changes):
    tokens = np.array([[[1, 9, 9]], [[2, 3, 4]]])
    answers = Answers(tokens, -np.ones((2, 1, 3)), np.array([[True], [False]]))._replace(**changes)

    def draw(prompts, num_rollouts, key, params):
        assert prompts.state is None and (num_rollouts, params) == (1, "params")
        return answers

    return External(draw, SETTINGS)(PROMPTS, 1, jax.random.key(0), "params")


def test_an_answer_ends_with_its_first_stop_token():
    answers = drawn()
    assert answers.tokens.tolist() == [[[1, 9, 7]], [[2, 3, 4]]] and answers.lengths.tolist() == [[2], [3]]
    assert answers.mask.tolist() == [[[True, True, False]], [[True] * 3]]
    np.testing.assert_array_equal(answers.log_probs, -1.0 * answers.mask)
    np.testing.assert_array_equal(answers.entropies, answers.lengths)


WRONG = [
    ({"tokens": np.zeros((2, 3), int)}, r"tokens of rl.rollouts: got \[2, 3\], allowed: \[2, 1, 3\]"),
    ({"finished": np.ones((2, 1), bool)}, "finished of rl.rollouts: got 1 answers that differ"),
    ({"log_probs": np.full((2, 1, 3), np.nan)}, "log_probs of rl.rollouts: got numbers that are not finite"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_a_wrong_engine_is_one_line(changes, message):
    with pytest.raises(ValueError, match=message):
        drawn(**changes)
