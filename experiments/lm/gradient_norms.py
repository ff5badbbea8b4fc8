"""Per-prompt gradient norms of several estimators at one checkpoint, against its pass rate (MaxRL Figure 6)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.lm.setup import Setup
from maxrl_jax import keys
from maxrl_jax.advantages import Estimator
from maxrl_jax.lm import step
from maxrl_jax.lm.engine import OneLoop
from maxrl_jax.lm.judging import answered
from maxrl_jax.lm.rollout import Rollouts
from maxrl_jax.lm.task import Prompts, Verdict


def norms(
    setup: Setup, params: Any, estimators: Sequence[Estimator], num_prompts: int, num_rollouts: int
) -> tuple[jax.Array, jax.Array]:
    """The norm of each held-out prompt's own gradient estimate, all estimators on the same rollouts.

    Args:
      setup: of the run.
      params: of the policy.
      estimators: functions of the rewards alone.
      num_prompts: M, the first of the held-out ones.
      num_rollouts: N of each prompt.

    Returns:
      (pass rate over the N rollouts [M], gradient norms [M, estimators]).
    """
    policy, task = setup.policy, setup.task
    alone = {"num_prompts": 1, "num_rollouts": num_rollouts, "minibatches": 1}
    no_terms = {"clip_epsilon": None, "entropy_coef": 0.0, "kl_coef": 0.0}  # estimators are compared, nothing else
    settings = dataclasses.replace(setup.step, **alone, **no_terms)
    chosen = task.held_out.at(slice(num_prompts))
    key = keys.stream(setup.config.seed, "gradient_norms")

    @jax.jit
    def learn(params: Any, prompts: Prompts, answers: Rollouts, verdict: Verdict) -> jax.Array:
        def of_prompt(given: tuple[Prompts, Rollouts, Verdict]) -> jax.Array:
            parts = jax.tree.map(lambda leaf: leaf[None], given)
            found = [step.learn(policy, task, estimator, settings, params, *parts) for estimator in estimators]
            return jnp.stack([optax.tree.norm(result.gradients) for result in found])

        return jax.lax.map(of_prompt, (prompts, answers, verdict))

    engine = OneLoop(policy, setup.sampling, None, num_rollouts)
    answers, pending = answered(engine, task, chosen, num_rollouts, key, params)
    verdict = pending()
    return jnp.asarray(verdict.rewards, jnp.float32).mean(axis=1), learn(params, chosen.bare, answers, verdict)
