"""Supervised fine-tuning: the solution's tokens by cross-entropy, averaged over the answer tokens of the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.maze.problem import Problem, by_platform
from maxrl_jax import losses, maze
from maxrl_jax.maze import tokens
from maxrl_jax.policy_update import Objective
from maxrl_jax.policy_update.answers import token_log_probs
from maxrl_jax.training import loop, optimizer
from maxrl_jax.training.data_parallel import Share, over_batch


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

    return loop.scan(step)


def loss_and_gradients(
    problem: Problem, params: Any, mazes: maze.Mazes, mask: jax.Array, total: jax.Array
) -> tuple[jax.Array, Any]:
    """Cross-entropy of the solutions over `total` answer tokens, micro-batch by micro-batch.

    The prompt runs as a prefix, so its last block makes keys and values alone: nothing is predicted from there.
    """
    prompts = maze.encode_prompt(mazes.walls)
    size = by_platform(problem.config.sft.micro_batch, cpu=4, accelerator=len(prompts))
    size = next(n for n in range(min(size, len(prompts)), 0, -1) if len(prompts) % n == 0)

    def part_loss(params: Any, part: tuple[jax.Array, ...]) -> jax.Array:
        part_prompts, solution, part_mask = part
        model = problem.model(params, problem.dtype)
        prefix = model.prefill(part_prompts)
        log_probs, _ = token_log_probs(model, prefix, solution[:, None], Objective())
        return losses.aggregate(-log_probs, part_mask[:, None], "token_mean", total)

    def add(carry: tuple[jax.Array, Any], part: tuple[jax.Array, ...]) -> tuple[tuple[jax.Array, Any], None]:
        value = jax.value_and_grad(part_loss)(params, part)
        return jax.tree.map(jnp.add, carry, value), None

    parts = jax.tree.map(lambda a: a.reshape(-1, size, *a.shape[1:]), (prompts, mazes.solution, mask))
    zeros = jnp.float32(0), jax.tree.map(jnp.zeros_like, params)
    return jax.lax.scan(add, zeros, parts)[0]
