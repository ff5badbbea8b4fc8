"""Evaluation with the host between its programs: block by block of prompts, answers are drawn and judged."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from maxrl_jax.devices.data_parallel import Share, over_batch
from maxrl_jax.lm import evaluation
from maxrl_jax.lm.host.judging import judged
from maxrl_jax.lm.host.segmented import Segmented
from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.rollout import Settings
from maxrl_jax.lm.task import Prompts, Task, Verdict

_DRAWN_TOKENS = 2**26  # of answers that are on the host at a time, as 4 bytes each, or 13 in segments


class HostSampler:
    """An `evaluation.Sampler` whose answers of a block are drawn by one program, or in segments, then judged.

    The arguments are those of `maxrl_jax.lm.engine.make_sampler`.
    """

    def __init__(
        self,
        policy: Policy,
        task: Task,
        prompts: Prompts,
        num_samples: int,
        sampling: Settings,
        mesh: Mesh | None,
        max_rows: int,
        segments: tuple[int, ...] = (),
    ):
        self._task, self._prompts, self._samples = task, prompts, num_samples
        devices = mesh.size if mesh else 1
        most = max(1, _DRAWN_TOKENS // (num_samples * sampling.max_new_tokens * devices))
        self._block = min(most, -(-len(prompts) // devices)) * devices
        self._segmented = Segmented(policy, task, sampling, segments, mesh, max_rows) if segments else None

        def of_share(
            share: Share, params: Any, key: jax.Array, prompts: Prompts, numbers: jax.Array
        ) -> dict[str, jax.Array]:
            ids = share.ids(len(prompts))
            own = prompts.at(ids)
            return evaluation.draw(policy, params, own, key, num_samples, sampling, ids=numbers[ids], max_rows=max_rows)

        self._program = jax.jit(functools.partial(over_batch, of_share, mesh, params=1, batch_outputs=True))

    def __call__(self, params: Any, key: jax.Array) -> dict[str, np.ndarray]:
        """Draws and judges the answers; consumes the key."""
        count = len(self._prompts)
        firsts = range(0, count, self._block)
        parts = [self._of_block(params, key, np.arange(first, first + self._block)) for first in firsts]
        return {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}

    def answers(self, params: Any, key: jax.Array, numbers: np.ndarray) -> tuple[dict[str, np.ndarray], Verdict]:
        """The answers to the prompts with these numbers, as `evaluation.draw` returns them, and their verdict.

        They are the first ones of an evaluation with this key. The number of prompts is a multiple of the devices.
        """
        return self._draw(params, key, self._prompts.at(numbers), numbers)

    def _of_block(self, params: Any, key: jax.Array, numbers: np.ndarray) -> dict[str, np.ndarray]:
        own = self._prompts.at(numbers % len(self._prompts))  # the last block repeats the first prompts
        drawn, verdict = self._draw(params, key, own, numbers)
        found = evaluation.of_samples(self._task, verdict, drawn["tokens"], drawn["length"])
        return evaluation.summed(found | {"entropy": drawn["entropy"]})

    def _draw(
        self, params: Any, key: jax.Array, prompts: Prompts, numbers: np.ndarray
    ) -> tuple[dict[str, np.ndarray], Verdict]:
        """The answers as `evaluation.draw` returns them, and their verdict."""
        if self._segmented is None:
            drawn = jax.device_get(self._program(params, key, dataclasses.replace(prompts, state=None), numbers))
            return drawn, judged(self._task, prompts.state, drawn["tokens"])
        answers, pending = self._segmented(params, prompts, key, self._samples, numbers)
        return evaluation.kept(answers), pending()
