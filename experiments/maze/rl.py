"""The RL phase: the step of `maxrl_jax.lm.step`, its optimizer, and the state it carries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import optax

from experiments.maze.problem import Problem
from maxrl_jax.advantages import Advantage
from maxrl_jax.lm import step
from maxrl_jax.runs import keys
from maxrl_jax.runs.devices.data_parallel import Share, over_batch
from maxrl_jax.runs.loop import optimizer
from maxrl_jax.runs.loop.chunks import scan


def make_optimizer(config: Any) -> optax.GradientTransformation:
    """The optimizer of the phase, at a constant learning rate or as scheduled."""
    return optimizer.from_config(config.rl.optimizer, config.rl.steps, learning_rate=config.rl.learning_rate)


def make_state(config: Any, params: Any) -> dict[str, Any]:
    """State before the first RL step; with a KL term the starting policy stays beside it as the reference."""
    state = {"params": params, "opt": make_optimizer(config).init(params)}
    return {**state, "reference": params} if config.rl.kl_coef else state


def make_chunk(problem: Problem, advantage: Advantage) -> Callable[..., Any]:
    """One RL step with this estimator, scanned: ``chunk(state, steps) -> (state, metrics)``."""
    settings = problem.config.rl.optimizer
    transformation = make_optimizer(problem.config)

    def one(state: dict[str, Any], index: jax.Array) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        def share_of_batch(share: Share, params: Any, reference: Any) -> step.Result:
            return step.gradients(
                problem.policy,
                problem.task,
                advantage,
                problem.step,
                params,
                step=index,
                key=keys.stream(problem.config.seed, "rollouts", index),
                reference=reference,
                share=share,
            )

        result = over_batch(share_of_batch, problem.mesh, state["params"], state.get("reference"))
        signal = result.has_signal if settings.skip_zero else None
        params, opt = optimizer.apply(transformation, result.gradients, state["opt"], state["params"], signal=signal)
        metrics = {"loss": result.loss, "gradient_norm": optax.tree.norm(result.gradients), **result.metrics}
        if settings.name != "sgd":
            metrics["adam_variance_proxy"] = optimizer.adam_variance_proxy(opt, b1=settings.b1, b2=settings.b2)
        return {**state, "params": params, "opt": opt}, metrics

    return scan(one)
