"""Supervised fine-tuning: the solution's tokens by cross-entropy, averaged over the answer tokens of the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.maze.problem import Problem, by_platform
from maxrl_jax import losses
from maxrl_jax.lm import update as policy_update
from maxrl_jax.lm.update import Batch, Objective, Plan
from maxrl_jax.runs.devices.data_parallel import Share, over_batch
from maxrl_jax.runs.loop import optimizer
from maxrl_jax.runs.loop.chunks import scan
from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import tokens


def make_optimizer(config: Any) -> optax.GradientTransformation:
    """The optimizer of the phase."""
    return optimizer.from_config(config.sft.optimizer, config.sft.steps)


def make_chunk(problem: Problem) -> Callable[..., Any]:
    """One SFT step, scanned: ``chunk(state, steps) -> (state, metrics)``."""
    config = problem.config
    update = make_optimizer(config).update

    def step(state: dict[str, Any], index: jax.Array) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        def share_of_batch(share: Share, params: Any) -> tuple[jax.Array, Any]:
            ids = share.ids(config.sft.batch_size)
            mazes = problem.training_mazes("sft_mazes", index, ids, config.sft.batch_size)
            mask = mazes.solution != tokens.PAD
            total = share.sum(losses.denominator(mask, "token_mean"))
            return share.sum(loss_and_gradients(problem, params, mazes, mask, total))

        loss, gradients = over_batch(share_of_batch, problem.mesh, state["params"])
        updates, opt_state = update(gradients, state["opt"], state["params"])
        params = optax.apply_updates(state["params"], updates)
        metrics = {"loss": loss, "gradient_norm": optax.tree.norm(gradients)}
        return {**state, "params": params, "opt": opt_state}, metrics

    return scan(step)


def loss_and_gradients(
    problem: Problem, params: Any, mazes: maze.Mazes, mask: jax.Array, total: jax.Array
) -> tuple[jax.Array, Any]:
    """Cross-entropy of the solutions over `total` answer tokens, micro-batch by micro-batch.

    It is the policy-gradient loss of one answer a prompt with advantage 1, so the update of RL computes it: sorted by
    length, each micro-batch cut to the shortest of a few lengths that holds its solutions.
    """
    count, length = mazes.solution.shape
    size = by_platform(problem.config.sft.micro_batch, cpu=4, accelerator=count)
    result = policy_update.loss_and_gradients(
        problem.model(params),
        Batch(
            prompts=maze.encode_prompt(mazes.walls),
            tokens=mazes.solution[:, None],
            mask=mask[:, None],
            advantages=jnp.ones((count, 1)),
        ),
        Objective(aggregation="token_mean"),
        Plan.make(count, 1, length, micro_batch_tokens=size * length),
        denominator=total,
        compute_dtype=problem.dtype,
    )
    return result.loss, result.gradients
