"""The maze experiment: ``python -m experiments.maze --config=configs/maze.py:VARIANT --workdir=DIR``."""

from __future__ import annotations

import os
from typing import Any

import jax

from experiments.lm_driver import training
from experiments.lm_driver.checks import estimator_phases
from experiments.maze import pictures
from experiments.maze.checks import check
from experiments.maze.problem import Problem
from maxrl_jax.runs import launch
from maxrl_jax.runs.folder.run import open_run


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
            params = training.fine_tune(opened, problem, params)
        state = training.reinforce(opened, problem, params, estimator_phases(config, problem.task))
        params = training.export(opened, problem, state["params"], "model")
        if jax.process_index() == 0 and config.task == "maze":
            pictures.save_answers(opened, problem, params)
        return opened.finish(state["params"])


if __name__ == "__main__":
    launch.main(run, check, config_file="configs/maze.py")
