"""The maze experiment: ``python -m experiments.maze --config=configs/maze.py:VARIANT --workdir=DIR``."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax

from experiments.maze import pictures, provenance, rl, sft
from experiments.maze.checks import check, estimator_phases
from experiments.maze.evaluation import Evaluator
from experiments.maze.problem import Problem
from maxrl_jax.lm import decoder
from maxrl_jax.runs import launch
from maxrl_jax.runs.devices import sharding
from maxrl_jax.runs.folder import digest
from maxrl_jax.runs.folder.run import Run, open_run
from maxrl_jax.runs.loop.phase import Every, Phase
from maxrl_jax.runs.loop.steps import run_steps


def run(config: Any, workdir: str | os.PathLike) -> dict[str, Any]:
    """Fine-tunes, then trains by RL, evaluating on the way; what notebooks call.

    Args:
      config: a config of configs/maze.py, checked.
      workdir: the run's folder; the same again resumes it.

    Returns:
      The final record: ``final/params_sha256``.
    """
    with open_run(config, workdir, "maze") as opened:
        problem = Problem.make(config)
        for line in problem.notes():
            opened.say(line)
        params = problem.init_params()
        if config.sft.steps:
            params = _fine_tune(opened, problem, params)
        state = _reinforce(opened, problem, params)
        params = _export(opened, problem, state["params"], "model")
        if jax.process_index() == 0 and config.task == "maze":
            pictures.save_answers(opened, problem, params)
        return opened.finish(state["params"])


def _fine_tune(opened: Run, problem: Problem, params: Any) -> Any:
    config = problem.config
    state = _placed(problem, {"params": params, "opt": sft.make_optimizer(config).init(params)})
    chunk = sft.make_chunk(problem)
    every = [
        Every(0, _exporter(opened, problem), at_end=False, at_steps=config.sft.export_steps),
    ]
    if config.sft.eval_every_steps:
        every.append(Every(config.sft.eval_every_steps, Evaluator(problem, "sft"), at_start=True))
    steps, per_call = config.sft.steps, config.sft.steps_per_call
    phase = Phase(name="sft", chunk=chunk, num_steps=steps, steps_per_call=per_call, every=every)
    return run_steps(opened, phase, state)["params"]


def _exporter(opened: Run, problem: Problem) -> Callable[[Any, int], None]:
    """Writes the model after a step of SFT."""

    def export(state: Any, step: int) -> None:
        _export(opened, problem, state["params"], f"model_sft_{step}")

    return export


def _export(opened: Run, problem: Problem, params: Any, name: str) -> Any:
    """Writes a model folder in Hugging Face's format, from process 0; returns the parameters on the host."""
    params = jax.tree.map(digest.to_host, params)  # in every process: each may hold a part
    if jax.process_index() == 0:
        decoder.save_hf(problem.policy.master(params), opened.path / name)
        if problem.config.task == "maze":
            provenance.write(provenance.after(problem.config), opened.path / name)
    return params


def _reinforce(opened: Run, problem: Problem, params: Any) -> Any:
    config = problem.config
    phases = estimator_phases(config, problem.task)
    chunks = [(start, rl.make_chunk(problem, advantage)) for start, advantage in phases]
    evaluate = Every(config.eval.every_steps, Evaluator(problem), at_start=True)
    state = _placed(problem, rl.make_state(config, params))
    phase = Phase(
        name="train",
        chunk=chunks,
        num_steps=config.rl.steps,
        steps_per_call=config.rl.steps_per_call,
        every=[evaluate],
        show=("reward_mean", "loss"),
    )
    return run_steps(opened, phase, state)


def _placed(problem: Problem, state: Any) -> Any:
    return sharding.shard_parameters(state, problem.mesh)


if __name__ == "__main__":
    launch.main(run, check, config_file="configs/maze.py")
