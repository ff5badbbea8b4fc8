"""Held-out evaluation on every device: between the steps of a run, and of any model."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from experiments.lm_driver.judging import judged
from experiments.lm_driver.problem import Problem, by_platform
from experiments.lm_driver.segmented import Segmented
from maxrl_jax.lm import evaluation
from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.rollout import Settings
from maxrl_jax.lm.task import Prompts, Task, Verdict
from maxrl_jax.runs import keys
from maxrl_jax.runs.devices.data_parallel import Share, over_batch

STREAMS = {"eval": "evaluation", "sft": "sft_evaluation"}
"""The stream of random numbers of the evaluations of a phase, by the prefix of their metrics."""


class Sampler:
    """``sampler(params, key) -> what lm.evaluation.sample finds``, on the host; compiled at its first call.

    Args:
        policy: without its parameters.
        task: judges the answers.
        prompts: M of them; every device takes a part.
        num_samples: of each prompt.
        sampling: how answers are drawn.
        mesh: of the devices.
        max_rows: answers drawn at a time on a device; 0 for what suits the platform.
        entropy: whether entropies are found too.
    """

    def __init__(
        self,
        policy: Policy,
        task: Task,
        prompts: Prompts,
        num_samples: int,
        sampling: Settings,
        mesh: Mesh | None,
        max_rows: int = 0,
        entropy: bool = False,
    ):
        self._count, devices = len(prompts), mesh.size if mesh else 1
        # Every device gets as many prompts; the last ones repeat the first and are cut off.
        self._prompts = prompts.at(np.arange(-(-self._count // devices) * devices) % self._count)
        rows = by_platform(max_rows, cpu=512, accelerator=16_384)

        def of_share(share: Share, params: Any, key: jax.Array, prompts: Prompts) -> dict[str, jax.Array]:
            ids = share.ids(len(prompts))
            own = prompts.at(ids)
            return evaluation.sample(
                policy, task, params, own, key, num_samples, sampling, ids=ids, max_rows=rows, entropy=entropy
            )

        self._sample = jax.jit(functools.partial(over_batch, of_share, mesh, batch_outputs=True))

    def __call__(self, params: Any, key: jax.Array) -> dict[str, np.ndarray]:
        """Draws and judges the answers; consumes the key."""
        found = jax.device_get(self._sample(params, key, self._prompts))
        return {name: np.asarray(value)[: self._count] for name, value in found.items()}


_DRAWN_TOKENS = 2**26  # of answers that are on the host at a time, as 4 bytes each, or 13 in segments


class HostSampler:
    """A `Sampler` for a judge on the host: block by block of prompts, answers are drawn and judged.

    Args: as those of `Sampler`; entropies are always found. With ``segments``, answers of a block are drawn in
    segments, and judged as they finish.
    """

    def __init__(
        self,
        policy: Policy,
        task: Task,
        prompts: Prompts,
        num_samples: int,
        sampling: Settings,
        mesh: Mesh | None,
        max_rows: int = 0,
        segments: tuple[int, ...] = (),
    ):
        self._task, self._prompts, self._samples = task, prompts, num_samples
        devices = mesh.size if mesh else 1
        most = max(1, _DRAWN_TOKENS // (num_samples * sampling.max_new_tokens * devices))
        self._block = min(most, -(-len(prompts) // devices)) * devices
        rows = by_platform(max_rows, cpu=512, accelerator=16_384)
        self._segmented = Segmented(policy, task, sampling, segments, mesh, rows) if segments else None

        def of_share(
            share: Share, params: Any, key: jax.Array, prompts: Prompts, numbers: jax.Array
        ) -> dict[str, jax.Array]:
            ids = share.ids(len(prompts))
            own = prompts.at(ids)
            return evaluation.draw(policy, params, own, key, num_samples, sampling, ids=numbers[ids], max_rows=rows)

        self._program = jax.jit(functools.partial(over_batch, of_share, mesh, batch_outputs=True))

    def __call__(self, params: Any, key: jax.Array) -> dict[str, np.ndarray]:
        """Draws and judges the answers; consumes the key."""
        count = len(self._prompts)
        parts = [self._of_block(params, key, np.arange(first, first + self._block)) for first in self._firsts()]
        return {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}

    def _firsts(self) -> range:
        return range(0, len(self._prompts), self._block)

    def _of_block(self, params: Any, key: jax.Array, numbers: np.ndarray) -> dict[str, np.ndarray]:
        own = self._prompts.at(numbers % len(self._prompts))  # the last block repeats the first prompts
        drawn, verdict = self._draw(params, key, own, numbers)
        found = evaluation.of_samples(self._task, verdict, drawn["tokens"], drawn["length"]) | {
            "entropy": drawn["entropy"]
        }
        return evaluation.summed(found)

    def _draw(
        self, params: Any, key: jax.Array, prompts: Prompts, numbers: np.ndarray
    ) -> tuple[dict[str, np.ndarray], Verdict]:
        """What `evaluation.draw` finds, and the verdict on it."""
        if self._segmented is None:
            drawn = jax.device_get(self._program(params, key, dataclasses.replace(prompts, state=None), numbers))
            return drawn, judged(self._task, prompts.state, drawn["tokens"])
        answers, pending = self._segmented(params, prompts, key, self._samples, numbers)
        return evaluation.kept(answers), pending()


def make_sampler(problem: Problem, num_samples: int, *, entropy: bool = False) -> Sampler | HostSampler:
    """The sampler of a run's evaluations."""
    parts = problem.policy, problem.task, problem.held_out, num_samples, problem.eval_sampling, problem.mesh
    rows = problem.config.eval.decode_rows
    if problem.task.judged_on_host:
        return HostSampler(*parts, rows, problem.step.decode_segments)
    return Sampler(*parts, rows, entropy)


class Evaluator:
    """``evaluator(state, step) -> {"PREFIX/...": value}``, what a run logs of an evaluation.

    Args:
        problem: of the run.
        prefix: of the metrics: eval, or sft during SFT.
    """

    def __init__(self, problem: Problem, prefix: str = "eval"):
        self._problem, self._prefix = problem, prefix
        self._sampler = make_sampler(problem, problem.config.eval.num_samples, entropy=problem.measures_entropy)

    def __call__(self, state: dict[str, Any], step: int) -> dict[str, Any]:
        """Samples every prompt and returns what is logged, in plain numbers and lists."""
        config, task = self._problem.config, self._problem.task
        found = self._sampler(state["params"], keys.stream(config.seed, STREAMS[self._prefix], step))
        return evaluation.summary(found, config.eval.num_samples, task.measures, self._prefix)
