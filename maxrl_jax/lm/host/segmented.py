"""Answers drawn in segments on every device, and judged while the next ones are drawn."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from maxrl_jax.devices.data_parallel import Share, over_batch, over_parts
from maxrl_jax.lm.host.judging import Judging, judged
from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.rollout import Rollouts, Segments, Settings
from maxrl_jax.lm.task import Prompts, Task, Verdict


class Segmented:
    """``segmented(params, prompts, key, N) -> (answers on the host, () -> verdict)`` on every device.

    Args:
        policy: without its parameters.
        task: judges the answers.
        sampling: how they are drawn.
        segments: after how many tokens the host looks which are complete.
        mesh: of the run.
        max_rows: answers drawn at a time on a device; None for all.
    """

    def __init__(
        self,
        policy: Policy,
        task: Task,
        sampling: Settings,
        segments: tuple[int, ...],
        mesh: Mesh | None,
        max_rows: int | None,
    ):
        self._task = task

        def over(function: Any, whole: Any, parts: Any) -> Any:
            return over_parts(function, mesh, whole, parts)

        def copied(share: Share, params: Any) -> Any:
            return nnx.state(policy.model(params))

        self._copied = jax.jit(functools.partial(over_batch, copied, mesh, params=1))
        self._segments = Segments(policy.master, sampling, segments, over, mesh.size if mesh else 1, max_rows)

    def __call__(
        self, params: Any, prompts: Prompts, key: jax.Array, num_rollouts: int, ids: Any = None
    ) -> tuple[Rollouts, Callable[[], Verdict]]:
        """Draws; the verdict on answers that were not the last to finish may be there by then.

        Args:
            params: of the policy.
            prompts: P of them, on the host.
            key: consumed.
            num_rollouts: N.
            ids: int32 [P], which the keys of answers follow; 0 .. P-1 by default.
        """
        copy = self._copied(params)  # in the compute type and whole, for all segments
        task, draw = self._task, functools.partial(self._segments, copy, prompts.tokens, key, num_rollouts)
        places = {"lengths": prompts.lengths, "ids": ids}
        if task.submit is None:
            answers = draw(**places)
            return answers, functools.partial(judged, task, prompts.state, np.asarray(answers.tokens))
        judging = Judging(task.submit, prompts.state, len(prompts), num_rollouts)
        return draw(**places, finished=judging.add), judging.verdict
