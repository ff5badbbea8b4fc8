"""The phases of a run, SFT and RL, each with its evaluations; and the model folders it writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from experiments.lm import rl, sft
from experiments.lm.evaluation import Evaluator
from experiments.lm.setup import Setup
from maxrl_jax.runs.devices import sharding
from maxrl_jax.runs.folder import digest
from maxrl_jax.runs.folder.run import Run
from maxrl_jax.runs.loop.phase import Every, Phase
from maxrl_jax.runs.loop.steps import run_steps


def run_sft(opened: Run, setup: Setup, params: Any) -> Any:
    """The parameters after SFT."""
    config = setup.config
    state = _placed(setup, {"params": params, "opt": sft.make_optimizer(config).init(params)})
    chunk = sft.make_chunk(setup)
    every = [
        Every(0, _exporter(opened, setup), at_end=False, at_steps=config.sft.export_steps),
        *setup.row.sft_measures(setup),
    ]
    if config.sft.eval_every_steps:
        every.append(Every(config.sft.eval_every_steps, Evaluator(setup, "sft"), at_start=True))
    steps, per_call = config.sft.steps, config.sft.steps_per_call
    phase = Phase(name="sft", chunk=chunk, num_steps=steps, steps_per_call=per_call, every=every)
    return run_steps(opened, phase, state)["params"]


def run_rl(opened: Run, setup: Setup, params: Any, phases: rl.Phases) -> Any:
    """The state after RL; ``phases`` is the estimator from each step on."""
    config = setup.config
    evaluate = Every(config.eval.every_steps, Evaluator(setup), at_start=True, show=setup.row.show)
    phase = Phase(
        name="train",
        chunk=rl.make_chunk(setup, phases, opened.log),
        num_steps=config.rl.steps,
        steps_per_call=config.rl.steps_per_call,
        every=[evaluate],
        show=("reward_mean", "loss"),
    )
    return run_steps(opened, phase, _placed(setup, rl.make_state(setup, params)))


def export(opened: Run, setup: Setup, params: Any, name: str) -> Any:
    """Writes a model folder in Hugging Face's format, from process 0; returns the parameters on the host."""
    params = jax.tree.map(digest.to_host, params)  # in every process: each may hold a part
    if jax.process_index() == 0:
        setup.save(params, opened.path / name)
    return params


def _exporter(opened: Run, setup: Setup) -> Callable[[Any, int], None]:
    """Writes the model after a step of SFT."""

    def write(state: Any, step: int) -> None:
        export(opened, setup, state["params"], f"model_sft_{step}")

    return write


def _placed(setup: Setup, state: Any) -> Any:
    return sharding.shard_parameters(state, setup.mesh)
