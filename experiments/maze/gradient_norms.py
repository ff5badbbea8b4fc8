"""Per-maze gradient norms of several estimators at one checkpoint, against the maze's pass rate (MaxRL Figure 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.maze import rl
from experiments.maze.problem import Problem
from maxrl_jax.advantages import Advantage
from maxrl_jax.lm.rollout import rollout
from maxrl_jax.lm.update import Batch, loss_and_gradients
from maxrl_jax.runs import keys
from maxrl_jax.tasks import maze


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
    objective = rl.make_objective(problem.config)

    def of_maze(params: Any, walls: jax.Array, number: jax.Array) -> tuple[jax.Array, jax.Array]:
        prompt = maze.encode_prompt(walls[None])
        key = keys.stream(problem.config.seed, "gradient_norms")
        sampler = problem.model(params, problem.dtype)
        answers = rollout(sampler, prompt, key, num_rollouts, problem.settings(), prompt_ids_P=number[None])
        rewards = maze.verify(walls[None], answers.tokens)
        plan = rl.make_plan(problem, 1, num_rollouts)
        found = []
        for estimator in estimators:
            batch = Batch(prompt, answers.tokens, answers.mask, estimator(rewards))
            result = loss_and_gradients(problem.model(params), batch, objective, plan, compute_dtype=problem.dtype)
            found.append(optax.tree.norm(result.gradients))
        return rewards.mean(), jnp.stack(found)

    @jax.jit
    def of_all(params: Any, walls: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.lax.map(lambda pair: of_maze(params, *pair), (walls, jnp.arange(len(walls))))

    return of_all(params, problem.held_out.mazes.walls[:num_mazes])
