"""One training step: images, logits, the loss of the config, SGD; one jitted program, several steps a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.imagenet import loss as losses
from experiments.imagenet.measures import measures
from experiments.imagenet.problem import Problem
from maxrl_jax import keys
from maxrl_jax.advantages import Estimator
from maxrl_jax.runs.loop import optimizer


def make_optimizer(config: Any) -> optax.GradientTransformation:
    """The optimizer of the run."""
    return optimizer.from_config(config.optimizer, config.steps)


def make_state(problem: Problem) -> dict[str, Any]:
    """State before the first step: parameters, batch statistics, optimizer state."""
    params, stats = problem.init()
    return {"params": params, "batch_stats": stats, "opt": make_optimizer(problem.config).init(params)}


def make_chunk(problem: Problem, advantage: Estimator | None) -> Callable[..., Any]:
    """Steps with this estimator (None: cross-entropy): ``chunk(state, steps, batches) -> (state, metrics)``.

    `batches` are the host batches of the steps, stacked, and left out for images drawn on the device.
    """
    config = problem.config
    update = make_optimizer(config).update

    def step(state: dict[str, Any], inputs: tuple[jax.Array, Any]) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        index, host_batch = inputs
        images, labels = problem.training_batch(index, host_batch)
        key = keys.stream(config.seed, "rollouts", index)

        def loss(params: Any) -> tuple[jax.Array, Any]:
            logits, stats = problem.network.train(params, state["batch_stats"], images)
            terms = losses.terms(logits, labels, key, config.loss.num_rollouts, advantage, config.loss.sampling)
            return jnp.mean(terms.loss), (stats, metrics(logits, labels, terms.solved))

        (value, (stats, measured)), gradients = jax.value_and_grad(loss, has_aux=True)(state["params"])
        updates, opt_state = update(gradients, state["opt"], state["params"])
        params = optax.apply_updates(state["params"], updates)
        state = {"params": params, "batch_stats": stats, "opt": opt_state}
        return state, {"loss": value, "gradient_norm": optax.tree.norm(gradients), **measured}

    def chunk(state: dict[str, Any], steps: jax.Array, batches: Any = None) -> tuple[dict[str, Any], Any]:
        if jax.default_backend() != "cpu":
            return jax.lax.scan(step, state, (steps, batches))
        # XLA on a CPU runs a convolution inside a loop, even of one iteration, some 20 times slower.
        rows = []
        for place in range(len(steps)):
            state, row = step(state, jax.tree.map(lambda leaf: leaf[place], (steps, batches)))  # noqa: B023
            rows.append(row)
        return state, jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)

    return chunk


def metrics(logits: jax.Array, labels: jax.Array, solved: jax.Array) -> dict[str, jax.Array]:
    """Means over the batch of `measures`, reward_mean and all_fail.

    reward_mean is pass@1, all_fail the fraction of images without a right rollout (for cross-entropy, which draws none,
    its expectation).
    """
    means = {name: jnp.mean(value) for name, value in measures(logits, labels).items()}
    return {**means, "reward_mean": means["pass@1"], "all_fail": 1 - jnp.mean(solved)}
