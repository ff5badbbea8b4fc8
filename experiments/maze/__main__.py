"""The maze experiment: ``python -m experiments.maze --config=configs/maze.py:VARIANT --workdir=DIR``."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax

from experiments.maze import pictures, rl, sft
from experiments.maze.checks import check
from experiments.maze.evaluation import Evaluator
from experiments.maze.problem import Problem
from maxrl_jax.lm import decoder
from maxrl_jax.runs import launch
from maxrl_jax.runs.config import config as checks
from maxrl_jax.runs.devices import sharding
from maxrl_jax.runs.folder import digest, folder
from maxrl_jax.runs.loop import loop


def run(config: Any, workdir: str | os.PathLike) -> dict[str, Any]:
    """Fine-tunes, then trains by RL, evaluating on the way; what notebooks call.

    Args:
      config: a config of configs/maze.py, checked.
      workdir: the run's folder; the same again resumes it.

    Returns:
      The final record: ``final/params_sha256``.
    """
    with folder.open_run(config, workdir, "maze") as open_run:
        problem = Problem.make(config)
        for line in problem.notes():
            open_run.say(line)
        params = problem.init_params()
        if config.sft.steps:
            params = _fine_tune(open_run, problem, params)
        state = _reinforce(open_run, problem, params)
        params = _export(open_run, problem, state["params"], "model")
        if jax.process_index() == 0:
            pictures.save_answers(open_run, problem, params)
        return open_run.finish(state["params"])


def _fine_tune(open_run: folder.Run, problem: Problem, params: Any) -> Any:
    config = problem.config
    state = _placed(problem, {"params": params, "opt": sft.make_optimizer(config).init(params)})
    chunk = sft.make_chunk(problem)
    every = [
        loop.Every(0, _exporter(open_run, problem), at_end=False, at_steps=config.sft.export_steps),
    ]
    if config.sft.eval_every_steps:
        every.append(loop.Every(config.sft.eval_every_steps, Evaluator(problem, "sft"), at_start=True))
    state = loop.run_steps(open_run, "sft", state, chunk, config.sft.steps, config.sft.steps_per_call, every=every)
    return state["params"]


def _exporter(open_run: folder.Run, problem: Problem) -> Callable[[Any, int], None]:
    """Writes the model after a step of SFT."""

    def export(state: Any, step: int) -> None:
        _export(open_run, problem, state["params"], f"model_sft_{step}")

    return export


def _export(open_run: folder.Run, problem: Problem, params: Any, name: str) -> Any:
    """Writes a model folder in Hugging Face's format, from process 0; returns the parameters on the host."""
    params = jax.tree.map(digest.to_host, params)  # in every process: each may hold a part
    if jax.process_index() == 0:
        decoder.save_hf(problem.model(params), open_run.path / name)
    return params


def _reinforce(open_run: folder.Run, problem: Problem, params: Any) -> Any:
    config = problem.config
    phases = checks.advantage(config, "rl.advantage", num_rollouts=config.rl.num_rollouts, provides=rl.PROVIDES)
    chunks = [(start, rl.make_chunk(problem, advantage)) for start, advantage in phases]
    evaluate = loop.Every(config.eval.every_steps, Evaluator(problem), at_start=True)
    state = _placed(problem, rl.make_state(config, params))
    return loop.run_steps(
        open_run,
        "train",
        state,
        chunks,
        config.rl.steps,
        config.rl.steps_per_call,
        every=[evaluate],
        show=("reward_mean", "loss"),
    )


def _placed(problem: Problem, state: Any) -> Any:
    return sharding.shard_parameters(state, problem.mesh)


if __name__ == "__main__":
    launch.main(run, check)
