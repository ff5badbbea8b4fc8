"""The image experiment: ``python -m experiments.imagenet --config=configs/imagenet.py:VARIANT --workdir=DIR``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import jax

from experiments.imagenet import gradient_norms, loss, training
from experiments.imagenet.checks import check
from experiments.imagenet.evaluation import Evaluator
from experiments.imagenet.problem import Problem
from maxrl_jax.runs import launch
from maxrl_jax.runs.config.config import ConfigError
from maxrl_jax.runs.devices import sharding
from maxrl_jax.runs.folder import folder
from maxrl_jax.runs.loop import loop
from maxrl_jax.vision.images import BrokenImage


def run(config: Any, workdir: str | os.PathLike) -> dict[str, Any]:
    """Trains a classifier, evaluating on the way; what notebooks call.

    Args:
      config: a config of configs/imagenet.py, checked.
      workdir: the run's folder; the same again resumes it.

    Returns:
      The final record: ``final/params_sha256``.
    """
    with folder.open_run(config, workdir, "imagenet") as open_run, _named(config):
        problem = Problem.make(config)
        chunks = [(start, training.make_chunk(problem, advantage)) for start, advantage in loss.phases(config)]
        every = [loop.Every(config.eval.every_steps, Evaluator(problem), at_start=True)]
        if config.eval.gradient_norm_step:
            every.append(_gradient_norms(open_run, problem))
        state = loop.run_steps(
            open_run,
            "train",
            sharding.shard_parameters(training.make_state(problem), problem.mesh),
            chunks,
            config.steps,
            config.steps_per_call,
            every=every,
            data=problem.images.host_batches,
            show=("loss", "top1", "pass@1"),
            rates={"images": config.batch_size},
        )
        return open_run.finish(state["params"])


@contextlib.contextmanager
def _named(config: Any) -> Iterator[None]:
    """A broken image ends the run with one line, as a wrong setting does."""
    try:
        yield
    except BrokenImage as error:
        raise ConfigError("data.dir", config.data.dir, f"a folder of images that can be read; {error}") from None


def _gradient_norms(open_run: folder.Run, problem: Problem) -> loop.Every:
    """Writes figures/gradient_norms.csv at eval.gradient_norm_step, by the loss the run has then."""
    config = problem.config

    def write(state: dict[str, Any], step: int) -> None:
        if step != config.eval.gradient_norm_step:
            return
        advantage = [advantage for start, advantage in loss.phases(config) if start <= step][-1]
        own = gradient_norms.make_loss(advantage, config.loss.num_rollouts, config.loss.sampling)
        table = gradient_norms.table(problem, state, [own], step)
        if jax.process_index() == 0:
            (open_run.figures / gradient_norms.FILE).write_text(table.to_csv(index=False))

    return loop.Every(config.eval.gradient_norm_step, write, at_end=False)


if __name__ == "__main__":
    launch.main(run, check)
