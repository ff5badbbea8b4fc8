"""A task whose prompts are padded trains, fine-tunes and evaluates as the same task without the padding."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax import advantages
from maxrl_jax.lm import evaluation, sft, step
from maxrl_jax.lm.engine import OneLoop
from maxrl_jax.lm.task import Task
from tests.lm import test_step

pytestmark = pytest.mark.slow

policy = test_step.policy  # a fixture


def plain(phase, number, ids, batch_size):
    found = test_step.prompts(phase, number, ids, batch_size)
    return dataclasses.replace(found, solutions=found.tokens[:, :3] % 7 + 1, numbers=ids)


def padded(phase, number, ids, batch_size):
    """The same prompts with three tokens beyond their end that say something else."""
    found = plain(phase, number, ids, batch_size)
    tokens = jnp.pad(found.tokens, ((0, 0), (0, 3)), constant_values=5)
    return dataclasses.replace(found, tokens=tokens, lengths=jnp.full(len(ids), found.tokens.shape[1]))


def task(prompts) -> Task:
    held_out = prompts("held_out", 0, jnp.arange(5), 5)
    return dataclasses.replace(
        test_step.TASK, prompts=prompts, held_out=held_out, num_problems=6, votes=lambda answers: answers[..., 0]
    )


@pytest.fixture(scope="module")
def found(policy):
    """The results of RL, SFT and an evaluation on either task."""
    graph, params = policy
    key, sampling = jax.random.key(5), test_step.SETTINGS.sampling

    def trained(chosen):
        settings = dataclasses.replace(test_step.SETTINGS, kl_coef=0.1)
        reference = jax.tree.map(lambda leaf: 0.5 * leaf, params)
        arguments = {"step": 0, "key": jax.random.key(3), "reference": reference}
        rl = step.gradients(graph, chosen, advantages.get("rloo"), settings, params, **arguments)
        taught = [
            sft.gradients(graph, chosen, params, step=0, batch_size=4, train_on_prompts=whole)
            for whole in (False, True)
        ]
        return rl, taught

    with jax.default_matmul_precision("highest"):
        return [
            (
                *jax.jit(lambda chosen=chosen: trained(chosen))(),
                evaluation.Sampler(OneLoop(graph, sampling, None), chosen, chosen.held_out, 6, 1)(params, key),
            )
            for chosen in map(task, (plain, padded))
        ]


def test_the_padding_changes_nothing(found):
    for one, other in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert np.abs(jax.tree.leaves(found[0][0].gradients)[0]).max() > 0


def test_solved_problems_are_told_by_their_numbers(found):
    rl = found[0][0]
    assert rl.solved.shape == (6,) and not rl.solved[4:].any()
    assert rl.solved[:4].mean() == pytest.approx(1 - rl.metrics["all_fail"])


def test_an_evaluation_tells_entropy_and_majority(found):
    sampled = found[0][2]
    summary = evaluation.summary(sampled, 6)
    assert 0 < summary["eval/entropy"] <= np.log(test_step.VOCABULARY) + 1e-5
    by_hand = [np.bincount(votes, minlength=8) for votes in sampled["votes"]]
    firsts = np.asarray(plain("held_out", 0, jnp.arange(5), 5).state)
    won = [
        counts[first] == counts.max() and 1 / np.sum(counts == counts.max())
        for counts, first in zip(by_hand, firsts, strict=True)
    ]
    assert summary["eval/majority@6"] == pytest.approx(np.mean(won))
