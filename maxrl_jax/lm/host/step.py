"""The RL step with the host in it: answers are drawn, the judge judges, a program learns.

Answers are drawn by one program, and judged after it; or in segments, and those that finish in one are judged while
the next is drawn.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from maxrl_jax.devices import sharding
from maxrl_jax.lm.host.judging import judged
from maxrl_jax.lm.host.segmented import Segmented
from maxrl_jax.lm.task import Prompts, Verdict
from maxrl_jax.lm.training import Drawn, Metrics, State, Trainer

Draw = Callable[[Any, Prompts, int], tuple[Drawn, Callable[[], Verdict]]]
"""``draw(params, prompts, index) -> (drawn, () -> verdict)``, whose second part waits for the verdict."""


class HostStep:
    """RL steps: ``step(state, index) -> (state, metrics)``, the state given consumed.

    Args:
        trainer: of the run.
        log: ``log(index, {"perf/...": number})``: times, and the judge's counts.
    """

    traced = False

    def __init__(self, trainer: Trainer, log: Callable[[int, Mapping[str, Any]], None]):
        self._trainer, self._log = trainer, log
        self._draw = _in_segments(trainer) if trainer.settings.decode_segments else _at_once(trainer)
        traced = jax.jit(trainer.prompts)
        on_host = trainer.task.judged_on_host
        self._prompts = trainer.prompts if on_host else lambda index: jax.device_get(traced(np.int32(index)))

        def learn(state: State, index: jax.Array, drawn: Drawn, verdict: Verdict) -> tuple[State, Metrics]:
            return trainer.learn(trainer.schedule.at(index), state, drawn, verdict)

        self._learn = learn
        self._compiled: Any = None

    def __call__(self, state: State, index: int) -> tuple[State, Metrics]:
        """The step with this number."""
        task = self._trainer.task
        prompts = self._prompts(index)
        began = time.perf_counter()
        drawn, pending = self._draw(state["params"], prompts, index)
        drawn_at = time.perf_counter()
        verdict = pending()
        seconds = {"draw_seconds": drawn_at - began, "judge_seconds": time.perf_counter() - drawn_at}
        self._log(index, {f"perf/{name}": value for name, value in (seconds | task.counts()).items()})
        if self._compiled is None:
            places = jax.tree.map(lambda leaf: leaf.sharding, state), sharding.replicated(self._trainer.mesh)
            self._compiled = jax.jit(self._learn, donate_argnums=0, out_shardings=places)
        return self._compiled(state, np.int32(index), drawn, verdict)


def _at_once(trainer: Trainer) -> Draw:
    """One program for all answers, which are judged once they are drawn."""

    @jax.jit
    def program(params: Any, prompts: Prompts, index: jax.Array) -> Drawn:
        return trainer.draw(params, prompts, trainer.key(index))

    def draw(params: Any, prompts: Prompts, index: int) -> tuple[Drawn, Callable[[], Verdict]]:
        drawn = program(params, dataclasses.replace(prompts, state=None), np.int32(index))
        return drawn, functools.partial(judged, trainer.task, prompts.state, np.asarray(drawn.answers.tokens))

    return draw


def _in_segments(trainer: Trainer) -> Draw:
    """Answers are judged as they finish, where the task takes them so."""
    settings = trainer.settings
    segmented = Segmented(
        trainer.policy,
        trainer.task,
        settings.sampling,
        settings.decode_segments,
        trainer.mesh,
        settings.decode_rows,
    )
    old_log_probs = jax.jit(trainer.old_log_probs)

    def draw(params: Any, prompts: Prompts, index: int) -> tuple[Drawn, Callable[[], Verdict]]:
        answers, pending = segmented(params, prompts, trainer.key(index), settings.num_rollouts)
        bare = dataclasses.replace(prompts, state=None)
        old = old_log_probs(params, bare, answers) if settings.minibatches > 1 else None
        return Drawn(bare, answers, old), pending

    return draw
