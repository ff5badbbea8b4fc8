"""Language models: ``python -m experiments.llm --config=configs/llm.py:VARIANT --workdir=DIR``."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from experiments.llm import digits
from experiments.llm.checks import check, estimator_phases
from experiments.llm.problem import Problem
from experiments.lm_driver import training
from maxrl_jax.runs import launch
from maxrl_jax.runs.folder.run import open_run
from maxrl_jax.runs.loop.phase import Every

SHOWN = ("pass@", "majority@", "coverage", "answer_length", "entropy")
"""What the line about an evaluation and the closing table tell."""


def run(config: Any, workdir: str | os.PathLike) -> dict[str, Any]:
    """Fine-tunes where asked, then trains by RL, evaluating on the way; what notebooks call.

    Args:
      config: a config of configs/llm.py, checked.
      workdir: the run's folder; the same again resumes it.

    Returns:
      The final record: ``final/params_sha256``.
    """
    with open_run(config, workdir, "llm") as opened, contextlib.ExitStack() as ends:
        problem = Problem.make(config)
        ends.callback(problem.task.close)
        for line in problem.notes():
            opened.say(line)
        params = problem.init_params()
        if config.sft.steps:
            params = training.fine_tune(opened, problem, params, _measures(problem))
        phases = estimator_phases(config, problem.task)
        state = training.reinforce(opened, problem, params, phases, SHOWN)
        training.export(opened, problem, state["params"], "model")
        return opened.finish(state["params"])


def _measures(problem: Problem) -> list[Every]:
    """What is measured during SFT beside its evaluations."""
    if problem.config.task != "words":
        return []
    return [Every(problem.config.sft.eval_every_steps, digits.make_measure(problem), show=("digits_right",))]


if __name__ == "__main__":
    launch.main(run, check, config_file="configs/llm.py")
