"""The RL step of a task whose judge runs on the host: a program draws, the judge judges, a program learns."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from experiments.lm_driver import rl
from experiments.lm_driver.problem import Problem
from maxrl_jax.advantages import Advantage
from maxrl_jax.lm.task import Prompts, Task, Verdict
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

        def draw(params: Any, prompts: Prompts, index: jax.Array) -> rl.Drawn:
            return rl.draw(problem, params, prompts, rl.rollout_key(problem, index))

        def learn(state: rl.State, drawn: rl.Drawn, verdict: Verdict) -> tuple[rl.State, rl.Metrics]:
            return rl.learn(problem, advantage, transformation, state, drawn, verdict)

        self._draw = jax.jit(draw)
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
        drawn = self._draw(state["params"], dataclasses.replace(prompts, state=None), np.int32(index))
        tokens = np.asarray(drawn.answers.tokens)
        drawn_at = time.perf_counter()
        verdict = judged(task, prompts.state, tokens)
        seconds = {"draw_seconds": drawn_at - began, "judge_seconds": time.perf_counter() - drawn_at}
        self._log(index, {f"perf/{name}": value for name, value in (seconds | task.counts()).items()})
        if self._compiled is None:
            mesh = self._problem.mesh
            places = jax.tree.map(lambda leaf: leaf.sharding, state), sharding.replicated(mesh)
            self._compiled = jax.jit(self._learn, donate_argnums=0, out_shardings=places)
        return self._compiled(state, drawn, verdict)


def judged(task: Task, state: Any, tokens: np.ndarray) -> Verdict:
    """The verdict on a batch of answers [P, N, T]; of several processes each judges its part, and all know the whole.

    P is a multiple of the number of processes, as batches are of the number of devices.
    """
    processes = jax.process_count()
    if processes == 1:
        return task.judge(state, tokens)
    from jax.experimental import multihost_utils

    size = len(tokens) // processes
    own = slice(jax.process_index() * size, (jax.process_index() + 1) * size)
    verdict = task.judge(jax.tree.map(lambda leaf: leaf[own], state), tokens[own])
    return multihost_utils.process_allgather(verdict, tiled=True)
