"""Answers and their verdicts: judged on the devices, on the host at once, or on the host as they finish."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from maxrl_jax.lm.engine import Engine, known_to_all, own_part
from maxrl_jax.lm.rollout import Rollouts
from maxrl_jax.lm.task import Prompts, Task, Verdict


def answered(
    engine: Engine, task: Task, prompts: Prompts, num_rollouts: int, key: jax.Array, params: Any, ids: Any = None
) -> tuple[Rollouts, Callable[[], Verdict]]:
    """The answers of an engine, and a function that waits for the verdict on them; arguments as those of `Engine`.

    Where the task takes single answers, those that finish first are judged while the others are drawn.
    """
    if task.submit is None:
        answers = engine(prompts, num_rollouts, key, params, ids=ids)
        return answers, functools.partial(judged, task, prompts.state, answers.tokens)
    judging = Judging(task.submit, prompts.state, len(prompts), num_rollouts)
    return engine(prompts, num_rollouts, key, params, ids=ids, finished=judging.add), judging.verdict


def judged(task: Task, state: Any, tokens: Any) -> Verdict:
    """The verdict on a batch of answers [P, N, T]; of several processes each judges its part, and all know the whole.

    P is a multiple of the number of processes, as batches are of the number of devices. A judge that is traced judges
    the whole batch everywhere.
    """
    if not task.judged_on_host:
        return jax.device_get(jax.jit(task.judge)(state, tokens))
    own = own_part(len(tokens))
    return known_to_all(task.judge(jax.tree.map(lambda leaf: leaf[own], state), np.asarray(tokens)[own]))


class Judging:
    """Verdicts on the N answers to each of P prompts, each answer submitted when it is complete.

    Of several processes each judges the answers to its part of the prompts, and all know the whole.

    Args:
        submit: of the task.
        state: of all the prompts.
        num_prompts: P, a multiple of the number of processes.
        num_rollouts: N.
    """

    def __init__(
        self, submit: Callable[[Any, Any], Callable[[], Verdict]], state: Any, num_prompts: int, num_rollouts: int
    ):
        self._submit, self._state, self._own = submit, state, own_part(num_prompts)
        self._shape = self._own.stop - self._own.start, num_rollouts
        self._pending: list[tuple[np.ndarray, np.ndarray, Callable[[], Verdict]]] = []

    def add(self, prompts: np.ndarray, numbers: np.ndarray, tokens: np.ndarray) -> None:
        """Submits answers [m, t] with these prompts and numbers [m]."""
        mine = (prompts >= self._own.start) & (prompts < self._own.stop)
        if not mine.any():
            return
        prompts, numbers, tokens = prompts[mine], numbers[mine], tokens[mine, None]
        pending = self._submit(jax.tree.map(lambda leaf: leaf[prompts], self._state), tokens)
        self._pending.append((prompts - self._own.start, numbers, pending))

    def verdict(self) -> Verdict:
        """Waits for all of them."""
        found = [pending() for *_, pending in self._pending]

        def laid_out(*parts: np.ndarray) -> np.ndarray:
            whole = np.zeros(self._shape, parts[0].dtype)
            for (prompts, numbers, _), part in zip(self._pending, parts, strict=True):
                whole[prompts, numbers] = part[:, 0]
            return whole

        return known_to_all(jax.tree.map(laid_out, *found))
