"""Per-maze gradient norms of several estimators at one checkpoint, against the maze's pass rate (MaxRL Figure 6)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.lm_driver.problem import Problem
from maxrl_jax.advantages import Advantage
from maxrl_jax.lm import step
from maxrl_jax.lm.task import Prompts
from maxrl_jax.runs import keys


def norms(
    problem: Problem, params: Any, estimators: Sequence[Advantage], num_mazes: int, num_rollouts: int
) -> tuple[jax.Array, jax.Array]:
    """The norm of each held-out maze's own gradient estimate, all estimators on the same rollouts.

    Args:
      problem: of the run.
      params: of the policy.
      estimators: functions of the rewards alone.
      num_mazes: M, the first of the held-out ones.
      num_rollouts: N of each maze.

    Returns:
      (pass rate over the N rollouts [M], gradient norms [M, estimators]).
    """
    settings = dataclasses.replace(problem.step, num_prompts=1, num_rollouts=num_rollouts)
    policy, task = problem.policy, problem.task

    def of_prompt(params: Any, prompts: Prompts, number: jax.Array) -> tuple[jax.Array, jax.Array]:
        key = keys.stream(problem.config.seed, "gradient_norms")
        answers = step.draw(policy, settings, params, prompts, key, number[None])
        verdict = task.judge(prompts.state, answers.tokens)
        found = [
            optax.tree.norm(step.learn(policy, task, estimator, settings, params, prompts, answers, verdict).gradients)
            for estimator in estimators
        ]
        return verdict.rewards.mean(), jnp.stack(found)

    @jax.jit
    def of_all(params: Any, prompts: Prompts) -> tuple[jax.Array, jax.Array]:
        alone = jax.tree.map(lambda leaf: leaf[:, None], prompts)
        return jax.lax.map(lambda pair: of_prompt(params, *pair), (alone, jnp.arange(len(prompts))))

    return of_all(params, task.held_out.at(slice(num_mazes)))
