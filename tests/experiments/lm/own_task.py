"""A user's own task: the sum of two digits; and some that are wrong."""

import dataclasses

import jax
import jax.numpy as jnp

from maxrl_jax import keys
from maxrl_jax.lm.task import Prompts, Task, Verdict


def sums(config):
    def prompts(phase, step, ids, batch_size):
        key = keys.stream(config.seed, phase, step)
        digits = jax.vmap(lambda number: jax.random.randint(jax.random.fold_in(key, number), (2,), 0, 5))(ids)
        total = digits.sum(-1)
        return Prompts(digits + 1, state=total, solutions=total[:, None] + 1)

    def judge(total, answers):
        return Verdict(answers[..., 0] == total[:, None] + 1)

    held_out = prompts("held_out", 0, jnp.arange(16), 16)
    return Task("sums", vocabulary_size=16, answer_length=1, prompts=prompts, judge=judge, held_out=held_out)


def flat_rewards(config):
    task = sums(config)
    return dataclasses.replace(task, judge=lambda total, answers: Verdict(1.0 * answers[:, 0, 0]))


def unsolved(config):
    task = sums(config)
    return dataclasses.replace(task, held_out=dataclasses.replace(task.held_out, solutions=None))


def raises(config):
    raise KeyError("nothing\nhere")
