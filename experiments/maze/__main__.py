"""The maze experiment: ``python -m experiments.maze --config=configs/maze.py:VARIANT --workdir=DIR``."""

from __future__ import annotations

import os
from typing import Any

import jax

from experiments.maze import pictures, rl, sft
from experiments.maze.checks import check
from experiments.maze.evaluation import Evaluator
from experiments.maze.problem import Problem
from maxrl_jax.lm import decoder as qwen2
from maxrl_jax.runs import launch
from maxrl_jax.runs.config import estimator
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
        params = jax.tree.map(digest.to_host, state["params"])  # in every process: each may hold a part
        if jax.process_index() == 0:
            qwen2.save_hf(problem.model(params), opened.path / "model")
            pictures.save_answers(opened, problem, params)
        return opened.finish(state["params"])


def _fine_tune(opened: Run, problem: Problem, params: Any) -> Any:
    config = problem.config
    state = _placed(problem, {"params": params, "opt": sft.make_optimizer(config).init(params)})
    chunk = sft.make_chunk(problem)
    phase = Phase(name="sft", chunk=chunk, num_steps=config.sft.steps, steps_per_call=config.sft.steps_per_call)
    return run_steps(opened, phase, state)["params"]


def _reinforce(opened: Run, problem: Problem, params: Any) -> Any:
    config = problem.config
    phases = estimator.phases(config, "rl.advantage", num_rollouts=config.rl.num_rollouts, provides=rl.PROVIDES)
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
    launch.main(run, check)
