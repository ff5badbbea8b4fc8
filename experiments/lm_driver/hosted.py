"""The RL step of a task whose judge runs on the host: answers are drawn, the judge judges, a program learns.

Answers are drawn by one program, and judged after it; or in segments, and those that finish in one are judged while
the next is drawn.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from experiments.lm_driver import rl
from experiments.lm_driver.judging import judged
from experiments.lm_driver.problem import Problem
from experiments.lm_driver.segmented import Segmented
from maxrl_jax.advantages import Advantage
from maxrl_jax.lm import rollout
from maxrl_jax.lm.task import Prompts, Verdict
from maxrl_jax.runs.devices import sharding
from maxrl_jax.runs.loop.chunks import OnHost


class HostStep(OnHost):
    """RL steps with one estimator: ``step(state, steps) -> (state, metrics)``, the state given consumed.

    Args:
        problem: of the run.
        advantage: the estimator.
        log: ``log(step, {"perf/...": number})``: what a clock decides.
    """

    def __init__(self, problem: Problem, advantage: Advantage, log: Callable[[int, Mapping[str, Any]], None]):
        self._problem, self._log = problem, log
        transformation = rl.make_optimizer(problem)

        def learn(state: rl.State, drawn: rl.Drawn, verdict: Verdict) -> tuple[rl.State, rl.Metrics]:
            return rl.learn(problem, advantage, transformation, state, drawn, verdict)

        self._draw = _in_segments(problem) if problem.step.decode_segments else _at_once(problem)
        self._learn = learn
        self._compiled: Any = None

    def __call__(self, state: rl.State, steps: np.ndarray) -> tuple[rl.State, dict[str, np.ndarray]]:
        """The steps with these numbers."""
        found = []
        for index in steps:
            state, metrics = self._step(state, int(index))
            found.append(jax.device_get(metrics))
        return state, {name: np.stack([metrics[name] for metrics in found]) for name in found[0]}

    def _step(self, state: rl.State, index: int) -> tuple[rl.State, rl.Metrics]:
        task, count = self._problem.task, self._problem.step.num_prompts
        prompts = task.prompts("rl", np.int32(index), np.arange(count, dtype=np.int32), count)
        began = time.perf_counter()
        drawn, pending = self._draw(state["params"], prompts, np.int32(index))
        drawn_at = time.perf_counter()
        verdict = pending()
        seconds = {"draw_seconds": drawn_at - began, "judge_seconds": time.perf_counter() - drawn_at}
        self._log(index, {f"perf/{name}": value for name, value in (seconds | task.counts()).items()})
        if self._compiled is None:
            mesh = self._problem.mesh
            places = jax.tree.map(lambda leaf: leaf.sharding, state), sharding.replicated(mesh)
            self._compiled = jax.jit(self._learn, donate_argnums=0, out_shardings=places)
        return self._compiled(state, drawn, verdict)


Draw = Callable[[Any, Prompts, np.int32], tuple[rl.Drawn, Callable[[], Verdict]]]
"""``draw(params, prompts, step) -> (drawn, () -> verdict)``: what is called waits for the verdict."""


def _at_once(problem: Problem) -> Draw:
    """One program for all answers, which are judged once they are drawn."""

    @jax.jit
    def program(params: Any, prompts: Prompts, index: jax.Array) -> rl.Drawn:
        return rl.draw(problem, params, prompts, rl.rollout_key(problem, index))

    def draw(params: Any, prompts: Prompts, index: np.int32) -> tuple[rl.Drawn, Callable[[], Verdict]]:
        drawn = program(params, dataclasses.replace(prompts, state=None), index)
        tokens = np.asarray(drawn.answers.tokens)
        return drawn, functools.partial(judged, problem.task, prompts.state, tokens)

    return draw


def _in_segments(problem: Problem) -> Draw:
    """Answers are judged as they finish, where the task takes them so."""
    settings = problem.step
    segmented = Segmented(
        problem.policy,
        problem.task,
        settings.sampling,
        settings.decode_segments,
        problem.mesh,
        settings.decode_rows,
    )

    @jax.jit
    def old_log_probs(params: Any, prompts: Prompts, answers: rollout.Rollouts) -> jax.Array:
        return rl.old_log_probs(problem, params, prompts, answers)

    def draw(params: Any, prompts: Prompts, index: np.int32) -> tuple[rl.Drawn, Callable[[], Verdict]]:
        key = rl.rollout_key(problem, int(index))
        answers, pending = segmented(params, prompts, key, settings.num_rollouts)
        bare = dataclasses.replace(prompts, state=None)
        old = old_log_probs(params, bare, answers) if settings.minibatches > 1 else None
        return rl.Drawn(bare, answers, old), pending

    return draw
