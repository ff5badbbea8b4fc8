"""The phases of a run, SFT and RL, each with its evaluations; and the model folders it writes."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax

from experiments.lm.blocks import Blocks
from experiments.lm.completions import Completions
from experiments.lm.setup import Setup, by_platform, in_one_program
from maxrl_jax import keys
from maxrl_jax.advantages import Estimator
from maxrl_jax.devices import sharding
from maxrl_jax.devices.data_parallel import Share, over_batch
from maxrl_jax.lm import evaluation, sft, step
from maxrl_jax.lm.schedule import Schedule
from maxrl_jax.lm.task import Prompts
from maxrl_jax.lm.training import HostStep, Metrics, State, Trainer
from maxrl_jax.runs.folder.run import Run
from maxrl_jax.runs.loop import chunks, optimizer
from maxrl_jax.runs.loop.phase import Every, Phase
from maxrl_jax.runs.loop.steps import run_steps

Phases = Sequence[tuple[int, Estimator]]
"""The estimator from each step on."""


def run_sft(opened: Run, setup: Setup, params: Any) -> Any:
    """The parameters after SFT."""
    config = setup.config
    state = sharding.shard_parameters({"params": params, "opt": _sft_optimizer(setup).init(params)}, setup.mesh)

    def export(state: Any, step: int) -> None:
        setup.save(state["params"], opened.path / f"model_sft_{step}")

    every = [Every(0, export, at_end=False, at_steps=config.sft.export_steps), *setup.row.sft_measures(setup)]
    if config.sft.eval_every_steps:
        every.append(Every(config.sft.eval_every_steps, evaluate(opened, setup, "sft"), at_start=True))
    phase = Phase(
        name="sft",
        chunk=make_sft_chunk(setup),
        num_steps=config.sft.steps,
        steps_per_call=config.sft.steps_per_call,
        every=every,
        data=sft_data(setup),
    )
    return run_steps(opened, phase, state)["params"]


def evaluate(
    opened: Run, setup: Setup, prefix: str, completions: Completions | None = None
) -> Callable[..., dict[str, Any]]:
    """``action(state, step) -> {"PREFIX/...": value}``: every held-out prompt is sampled; writes the completions."""
    stream = {"eval": "evaluation", "sft": "sft_evaluation"}[prefix]
    num_samples, task = setup.config.eval.num_samples, setup.task

    def action(state: State, step: int) -> dict[str, Any]:
        params = state["params"]
        # Of several processes each would need the same blocks.
        kept = Blocks(opened, f"{stream} {step}", params) if jax.process_count() == 1 else None
        found = setup.run_sampler(params, keys.stream(setup.config.seed, stream, step), kept)
        if completions is not None:
            completions.evaluated(step, found)
        groups = task.groups[: len(setup.held_out)]
        return evaluation.summary(found, num_samples, task.measures, prefix, groups)

    return action


def _sft_optimizer(setup: Setup) -> optax.GradientTransformation:
    sft = setup.config.sft
    return optimizer.from_config(sft.optimizer, sft.steps)


def make_sft_chunk(setup: Setup) -> Callable[..., Any]:
    """SFT steps: ``chunk(state, steps) -> (state, metrics)``, with the batches behind ``steps`` where `sft_data` is."""
    batch_size = setup.config.sft.batch_size
    micro_batch = by_platform(setup.config.sft.micro_batch, cpu=4, accelerator=batch_size)
    transformation = _sft_optimizer(setup)

    def one(state: dict[str, Any], given: tuple[jax.Array, Any]) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        index, batch = given

        def share_of_batch(share: Share, params: Any, batch: Any) -> tuple[jax.Array, Any]:
            return sft.gradients(
                setup.policy,
                setup.task,
                params,
                step=index,
                batch_size=batch_size,
                micro_batch=micro_batch,
                train_on_prompts=setup.config.sft.train_on_prompts,
                prompts=None if batch is None else batch.at(share.ids(batch_size)),
                share=share,
            )

        loss, gradients = over_batch(share_of_batch, setup.mesh, state["params"], batch, params=1, gradients=True)
        params, opt = optimizer.apply(transformation, gradients, state["opt"], state["params"])
        metrics = {"loss": loss, "gradient_norm": optax.tree.norm(gradients)}
        return {**state, "params": params, "opt": opt}, metrics

    def chunk(state: Any, steps: jax.Array, batches: Any = None) -> tuple[Any, dict[str, jax.Array]]:
        return jax.lax.scan(one, state, (steps, batches))

    return chunk


def sft_data(setup: Setup) -> Callable[[int], Iterator[Prompts]] | None:
    """``data(step) -> iterator`` of this process's part of each batch, where the host makes prompts; else None."""
    task, whole = setup.task, setup.config.sft.batch_size
    size = whole // jax.process_count()
    ids = (jax.process_index() * size + np.arange(size)).astype(np.int32)

    def data(step: int) -> Iterator[Prompts]:
        for index in itertools.count(step):
            yield task.prompts("sft", np.int32(index), ids, whole)

    return data if task.judged_on_host else None


def run_rl(opened: Run, setup: Setup, params: Any, phases: Phases) -> Any:
    """The state after RL; ``phases`` is the estimator from each step on."""
    config = setup.config
    shown = Completions(opened, setup, Schedule(tuple(phases))) if config.log.completions_prompts else None
    evaluated = evaluate(opened, setup, "eval", shown)
    every = [Every(config.eval.every_steps, evaluated, at_start=True, show=setup.row.show)]
    if shown and config.log.completions_every:
        every.append(Every(config.log.completions_every, shown.between, at_end=False))
    phase = Phase(
        name="train",
        chunk=make_chunk(setup, phases, opened.log),
        num_steps=config.rl.steps,
        steps_per_call=config.rl.steps_per_call,
        every=every,
        show=("reward_mean", "loss"),
    )
    return run_steps(opened, phase, sharding.shard_parameters(make_state(setup, params), setup.mesh))


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
    return Trainer(setup.policy, setup.task, setup.step, Schedule(tuple(phases)), setup.mesh, key, move)


def make_state(setup: Setup, params: Any) -> State:
    """State before the first RL step."""
    return make_trainer(setup).state(params, make_optimizer(setup).init(params))


def make_chunk(setup: Setup, phases: Phases, log: Callable[[int, Mapping[str, Any]], None] = lambda *_: None) -> Any:
    """RL steps: ``chunk(state, steps) -> (state, metrics)``; ``log`` as in `HostStep`."""
    trainer = make_trainer(setup, phases)
    if in_one_program(setup.config, setup.task):
        return chunks.scan(trainer.traced_step)
    return chunks.OnHost(HostStep(trainer, setup.engine, log))
