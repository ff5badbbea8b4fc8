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
from experiments.results.image_runs import GRADIENT_NORMS
from maxrl_jax.devices import sharding
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs import launch
from maxrl_jax.runs.folder.run import Run, open_run
from maxrl_jax.runs.loop.phase import Every, Phase
from maxrl_jax.runs.loop.steps import run_steps
from maxrl_jax.vision.images import BrokenImage


def run(config: Any, workdir: str | os.PathLike) -> dict[str, Any]:
    """Trains a classifier, evaluating on the way; the same folder again resumes. Returns the final record."""
    with open_run(config, workdir, "imagenet") as opened, _named(config):
        problem = Problem.make(config)
        chunks = [(start, training.make_chunk(problem, advantage)) for start, advantage in loss.phases(config)]
        every = [Every(config.eval.every_steps, Evaluator(problem), at_start=True)]
        if config.eval.gradient_norm_step:
            every.append(_gradient_norms(opened, problem))
        phase = Phase(
            name="train",
            chunk=chunks,
            num_steps=config.steps,
            steps_per_call=config.steps_per_call,
            every=every,
            data=problem.images.host_batches,
            show=("loss", "top1", "pass@1"),
            rates={"images": config.batch_size},
        )
        state = sharding.shard_parameters(training.make_state(problem), problem.mesh)
        state = run_steps(opened, phase, state)
        return opened.finish(state["params"])


@contextlib.contextmanager
def _named(config: Any) -> Iterator[None]:
    """A broken image ends the run with one line, as a wrong setting does."""
    try:
        yield
    except BrokenImage as error:
        raise ConfigError("data.dir", config.data.dir, f"a folder of images that can be read; {error}") from None


def _gradient_norms(opened: Run, problem: Problem) -> Every:
    """Writes figures/gradient_norms.csv at eval.gradient_norm_step, by the loss the run has then."""
    config = problem.config

    def write(state: dict[str, Any], step: int) -> None:
        if step != config.eval.gradient_norm_step:
            return
        advantage = [advantage for start, advantage in loss.phases(config) if start <= step][-1]
        own = gradient_norms.make_loss(advantage, config.loss.num_rollouts, config.loss.sampling)
        table = gradient_norms.table(problem, state, [own], step)
        if jax.process_index() == 0:
            (opened.figures / GRADIENT_NORMS).write_text(table.to_csv(index=False))

    return Every(config.eval.gradient_norm_step, write, at_end=False)


if __name__ == "__main__":
    launch.main(run, check, config_file="configs/imagenet.py")
