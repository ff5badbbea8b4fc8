"""Per-prompt gradient norms of several estimators at one checkpoint, against its pass rate (MaxRL Figure 6)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.lm.setup import Setup
from maxrl_jax import keys
from maxrl_jax.advantages import Estimator
from maxrl_jax.lm import rollout, step
from maxrl_jax.lm.host.judging import judged
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

    def as_batch(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf[None], tree)

    @jax.jit
    def draw(params: Any, prompts: Prompts) -> rollout.Rollouts:
        def of_prompt(pair: tuple[Prompts, jax.Array]) -> rollout.Rollouts:
            found = step.draw(policy, settings, params, as_batch(pair[0]), key, pair[1][None])
            return jax.tree.map(lambda leaf: leaf[0], found)

        return jax.lax.map(of_prompt, (prompts, jnp.arange(len(prompts))))

    @jax.jit
    def learn(params: Any, prompts: Prompts, answers: rollout.Rollouts, verdict: Verdict) -> jax.Array:
        def of_prompt(given: tuple[Prompts, rollout.Rollouts, Verdict]) -> jax.Array:
            parts = as_batch(given)
            found = [step.learn(policy, task, estimator, settings, params, *parts) for estimator in estimators]
            return jnp.stack([optax.tree.norm(result.gradients) for result in found])

        return jax.lax.map(of_prompt, (prompts, answers, verdict))

    bare = dataclasses.replace(chosen, state=None, solutions=None)
    answers = draw(params, bare)
    verdict = judged(task, chosen.state, np.asarray(answers.tokens))
    return jnp.asarray(verdict.rewards, jnp.float32).mean(axis=1), learn(params, bare, answers, verdict)
