"""The RL phase: the steps of `maxrl_jax.lm`, their optimizer and the state they carry."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optax

from experiments.lm.setup import Setup
from maxrl_jax import keys
from maxrl_jax.advantages import Advantage
from maxrl_jax.lm import engine, step
from maxrl_jax.lm.schedule import Schedule
from maxrl_jax.lm.training import Metrics, State, Trainer
from maxrl_jax.runs.loop import chunks, optimizer

Phases = Sequence[tuple[int, Advantage]]


def _nothing(step: int, values: Mapping[str, Any]) -> None:
    """Logs nothing."""


def make_optimizer(setup: Setup) -> optax.GradientTransformation:
    """The optimizer of the phase, at a constant learning rate or as scheduled."""
    rl = setup.config.rl
    return optimizer.from_config(rl.optimizer, rl.steps * rl.minibatches, learning_rate=rl.learning_rate)


def make_trainer(setup: Setup, phases: Phases = ()) -> Trainer:
    """The parts that all RL steps of a run share; ``phases`` are the estimator from each step on."""
    transformation, settings = make_optimizer(setup), setup.config.rl.optimizer

    def move(state: State, result: step.Result) -> tuple[State, Metrics]:
        signal = result.has_signal if settings.skip_zero else None
        params, opt = optimizer.apply(transformation, result.gradients, state["opt"], state["params"], signal=signal)
        metrics = {"loss": result.loss, "gradient_norm": optax.tree.norm(result.gradients), **result.metrics}
        if settings.name in ("adam", "adamw"):
            metrics["adam_variance_proxy"] = optimizer.adam_variance_proxy(opt, b1=settings.b1, b2=settings.b2)
        return {**state, "params": params, "opt": opt}, metrics

    key = functools.partial(keys.stream, setup.config.seed, "rollouts")
    return Trainer(setup.policy, setup.task, setup.step, Schedule(tuple(phases)), setup.devices, key, move)


def make_state(setup: Setup, params: Any) -> State:
    """State before the first RL step."""
    return make_trainer(setup).state(params, make_optimizer(setup).init(params))


def make_chunk(setup: Setup, phases: Phases, log: Callable[[int, Mapping[str, Any]], None] = _nothing) -> Any:
    """RL steps: ``chunk(state, steps) -> (state, metrics)``; ``log`` as in `engine.make_step`."""
    return chunks.of(engine.make_step(make_trainer(setup, phases), log))
