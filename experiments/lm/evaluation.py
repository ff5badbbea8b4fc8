"""Held-out evaluation between the steps of a run."""

from __future__ import annotations

from typing import Any

from experiments.lm.completions import Completions
from experiments.lm.setup import Setup
from maxrl_jax import keys
from maxrl_jax.lm import engine, evaluation

STREAMS = {"eval": "evaluation", "sft": "sft_evaluation"}
"""The stream of random numbers of the evaluations of a phase, by the prefix of their metrics."""


def make_sampler(setup: Setup, num_samples: int) -> Any:
    """``sampler(params, key) -> {name: array}``, see `evaluation.sample`: so many answers to each held-out prompt."""
    parts = setup.policy, setup.task, setup.held_out, num_samples, setup.eval_sampling, setup.mesh
    return engine.make_sampler(*parts, setup.eval_rows, setup.step.decode_segments)


class Evaluator:
    """``evaluator(state, step) -> {"PREFIX/...": value}``, the values that a run logs of an evaluation.

    Args:
        setup: of the run.
        prefix: of the metrics: eval, or sft during SFT.
        completions: written with each evaluation.
    """

    def __init__(self, setup: Setup, prefix: str = "eval", completions: Completions | None = None):
        self._setup, self._prefix, self._completions = setup, prefix, completions
        self._sampler = make_sampler(setup, setup.config.eval.num_samples)

    def __call__(self, state: dict[str, Any], step: int) -> dict[str, Any]:
        """Samples every prompt and returns what is logged, in plain numbers and lists."""
        config, task = self._setup.config, self._setup.task
        groups = task.groups[: len(self._setup.held_out)]
        key = keys.stream(config.seed, STREAMS[self._prefix], step)
        found = self._sampler(state["params"], key)
        if self._completions is not None:
            self._completions.write(state["params"], step, key, found["solved"])
        return evaluation.summary(found, config.eval.num_samples, task.measures, self._prefix, groups)
