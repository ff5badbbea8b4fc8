"""The phases of a run, SFT and RL, each with its evaluations; and the model folders it writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from experiments.lm_driver import hosted, rl, sft
from experiments.lm_driver.evaluation import Evaluator
from experiments.lm_driver.problem import Problem
from maxrl_jax.advantages import Advantage
from maxrl_jax.runs.devices import sharding
from maxrl_jax.runs.folder import digest
from maxrl_jax.runs.folder.run import Run
from maxrl_jax.runs.loop.phase import Every, Phase
from maxrl_jax.runs.loop.steps import run_steps


def fine_tune(opened: Run, problem: Problem, params: Any, also: Sequence[Every] = ()) -> Any:
    """The parameters after SFT; ``also`` is done between its steps."""
    config = problem.config
    state = _placed(problem, {"params": params, "opt": sft.make_optimizer(config).init(params)})
    chunk = sft.make_chunk(problem)
    every = [
        Every(0, _exporter(opened, problem), at_end=False, at_steps=config.sft.export_steps),
        *also,
    ]
    if config.sft.eval_every_steps:
        every.append(Every(config.sft.eval_every_steps, Evaluator(problem, "sft"), at_start=True))
    steps, per_call = config.sft.steps, config.sft.steps_per_call
    phase = Phase(name="sft", chunk=chunk, num_steps=steps, steps_per_call=per_call, every=every)
    return run_steps(opened, phase, state)["params"]


def reinforce(
    opened: Run, problem: Problem, params: Any, phases: list[tuple[int, Advantage]], show: tuple[str, ...] = ()
) -> Any:
    """The state after RL.

    Args:
        opened: the run.
        problem: of the run.
        params: before the first step.
        phases: the estimator from each step on.
        show: what the line about an evaluation tells; () for the usual.
    """
    config = problem.config

    def chunk(advantage: Advantage) -> Any:
        if problem.task.judged_on_host:
            return hosted.HostStep(problem, advantage, opened.log)
        return rl.make_chunk(problem, advantage)

    chosen = {"show": show} if show else {}
    evaluate = Every(config.eval.every_steps, Evaluator(problem), at_start=True, **chosen)
    state = _placed(problem, rl.make_state(problem, params))
    phase = Phase(
        name="train",
        chunk=[(start, chunk(advantage)) for start, advantage in phases],
        num_steps=config.rl.steps,
        steps_per_call=config.rl.steps_per_call,
        every=[evaluate],
        show=("reward_mean", "loss"),
    )
    return run_steps(opened, phase, state)


def export(opened: Run, problem: Problem, params: Any, name: str) -> Any:
    """Writes a model folder in Hugging Face's format, from process 0; returns the parameters on the host."""
    params = jax.tree.map(digest.to_host, params)  # in every process: each may hold a part
    if jax.process_index() == 0:
        problem.save(params, opened.path / name)
    return params


def _exporter(opened: Run, problem: Problem) -> Callable[[Any, int], None]:
    """Writes the model after a step of SFT."""

    def write(state: Any, step: int) -> None:
        export(opened, problem, state["params"], f"model_sft_{step}")

    return write


def _placed(problem: Problem, state: Any) -> Any:
    return sharding.shard_parameters(state, problem.mesh)
