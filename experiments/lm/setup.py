"""The task, policy and step sizes built from a config, and what the driver has to know of a task."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from maxrl_jax import keys
from maxrl_jax.devices import sharding
from maxrl_jax.devices.precision import compute_dtype
from maxrl_jax.lm import decoder, step
from maxrl_jax.lm.engine import Engine, External, OneLoop
from maxrl_jax.lm.evaluation import Sampler
from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.rollout import Segments, Settings
from maxrl_jax.lm.task import Prompts, Task
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.config.imported import imported
from maxrl_jax.runs.folder.run import Run
from maxrl_jax.runs.loop.phase import Every

SHAPE = ("hidden_size", "intermediate_size", "num_layers", "num_heads", "num_kv_heads", "max_positions")
"""Fields of a fresh model."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A task of the driver. Only the first three are needed.

    Attributes:
        make: ``make(config) -> Task``; the task says whether its judge runs on the device or on the host.
        config_file: a file whose variants train on it, "configs/NAME.py".
        groups: groups of fields that it needs in a config.
        check: ``check(config)`` raises ConfigError for the first of the task's own fields that is wrong.
        notes: ``notes(config) -> lines`` for the user at the start of a run, beside the task's own.
        evaluation_key: ``evaluation_key(config) -> {name: value}``, the fields that a held-out set depends on.
        for_model: ``for_model(config, folder, given)`` sets the fields, but for those ``given``, that a model's folder
            records of its training, for an evaluation of a model without its run.
        sft_measures: ``sft_measures(setup) -> [Every]``, measured during SFT beside its evaluations.
        save: ``save(config, folder)`` adds to a model folder what travels with the model.
        finish: ``finish(run, setup, params)`` draws pictures at the end of a run, in process 0.
        show: metrics in the line about an evaluation and in the closing table.
        round: answers to each prompt between two saves of `experiments.lm.evaluate`: few where one takes long.
    """

    make: Callable[[Any], Task]
    config_file: str
    groups: Sequence[str]
    check: Callable[[Any], None] = lambda config: None
    notes: Callable[[Any], Sequence[str]] = lambda config: ()
    evaluation_key: Callable[[Any], dict[str, Any]] = lambda config: {"task": config.task}
    for_model: Callable[[Any, Path, Sequence[str]], None] = lambda config, folder, given: None
    sft_measures: Callable[[Setup], Sequence[Every]] = lambda setup: ()
    save: Callable[[Any, str | os.PathLike], None] = lambda config, folder: None
    finish: Callable[[Run, Setup, Any], None] | None = None
    show: Sequence[str] = ("pass@", "majority@", "coverage", "answer_length", "entropy")
    round: int = 32


@dataclasses.dataclass(frozen=True)
class Setup:
    """The parts that SFT, RL and evaluation share.

    Attributes:
        config: the run's config.
        row: what the driver knows of the task.
        task: gives prompts and judges answers.
        policy: the model without its parameters.
        mesh: of the run's devices.
    """

    config: Any
    row: Row
    task: Task
    policy: Policy
    mesh: Mesh

    @classmethod
    def of(cls, config: Any, row: Row) -> Setup:
        """Builds the task and the model's graph."""
        task = row.make(config)
        shape = _model_config(config, task)
        graph = nnx.graphdef(nnx.eval_shape(lambda: decoder.Decoder(shape, rngs=nnx.Rngs(0))))
        policy = Policy(graph, compute_dtype(config.model.compute_dtype), config.model.remat)
        return cls(config, row, task, policy, checks.mesh(config))

    def notes(self) -> list[str]:
        """Lines for the user at the start of a run."""
        lines = [*self.task.notes, *self.row.notes(self.config)]
        key, there = num_eval_key(self.config), len(self.held_out)
        if self.config.eval[key] > there:
            lines.append(f"eval.{key}: {self.config.eval[key]} asked for, {there} held out and evaluated")
        return lines

    def init_params(self) -> Any:
        """Fresh parameters, or those of `model.init_from`; float32."""
        if self.config.model.init_from:
            where = functools.partial(sharding.parameter_sharding, self.mesh)
            return nnx.state(decoder.load_hf(self.config.model.init_from, shardings=where))
        shape = _model_config(self.config, self.task)

        def build(seed: jax.Array) -> Any:
            return nnx.state(decoder.Decoder(shape, rngs=nnx.Rngs(keys.stream(seed, "params"))))

        return sharding.init(build, self.mesh, jnp.uint32(self.config.seed))

    def save(self, params: Any, folder: str | os.PathLike) -> None:
        """Writes a model folder, by default in the type of the model that the run began with, whose tokenizer it takes.

        Every process calls it, each with its part of the parameters, and process 0 writes.
        """
        source = self.config.model.init_from or None
        dtype = self.config.model.export_dtype or (decoder.stored_type(source) if source else None)
        ends = {"stop_tokens": self.task.stop_tokens, "pad_token": self.task.pad_token}
        decoder.save_hf(self.policy.master(params), folder, tokenizer_from=source, dtype=dtype, **ends)
        if jax.process_index() == 0:
            self.row.save(self.config, folder)

    @property
    def held_out(self) -> Prompts:
        """The prompts of an evaluation."""
        return self.task.held_out.at(slice(self.config.eval[num_eval_key(self.config)]))

    @property
    def sampling(self) -> Settings:
        """How the answers of training are sampled."""
        return self._sampling(self.config.rl)

    @property
    def eval_sampling(self) -> Settings:
        """How the answers of an evaluation are sampled."""
        return self._sampling(self.config.eval)

    def _sampling(self, phase: Any) -> Settings:
        return Settings(
            max_new_tokens=self.task.answer_length,
            stop_tokens=self.task.stop_tokens,
            temperature=phase.temperature,
            top_p=phase.top_p,
            pad_token=self.task.pad_token,
        )

    @functools.cached_property
    def engine(self) -> Engine:
        """Draws the answers of training."""
        return self._engine(self.sampling, self.config.rl.decode_rows or None)

    @functools.cached_property
    def eval_engine(self) -> Engine:
        """Draws the answers of an evaluation."""
        return self._engine(self.eval_sampling, self._eval_rows)

    @property
    def _eval_rows(self) -> int:
        return by_platform(self.config.eval.decode_rows, cpu=512, accelerator=16_384)

    def _engine(self, sampling: Settings, max_rows: int | None) -> Engine:
        rl = self.config.rl
        if rl.rollouts:
            factory = imported(self.config, "rl.rollouts", "an empty string")
            return External(factory(self.config, sampling, self.save), sampling)
        parts = self.policy, sampling, self.mesh, max_rows
        return Segments(*parts, rl.decode_segments) if rl.decode_segments else OneLoop(*parts)

    @functools.cached_property
    def run_sampler(self) -> Sampler:
        """The evaluation of the run, which shows the answers of its completions."""
        num_samples, log = self.config.eval.num_samples, self.config.log
        return self.sampler(num_samples, min(num_samples, log.completions_answers) if log.completions_prompts else 0)

    def sampler(self, num_samples: int, num_shown: int = 0, prompts: Prompts | None = None) -> Sampler:
        """An evaluation on held-out prompts, by default on all that are evaluated."""
        prompts = self.held_out if prompts is None else prompts
        parts = self.eval_engine, self.task, prompts, num_samples, self.mesh.size
        return Sampler(*parts, self._eval_rows, num_shown)

    @property
    def step(self) -> step.Settings:
        """Sizes, sampling and loss of an RL step. One update a batch has ratios of 1, which no range clips."""
        rl = self.config.rl
        return step.Settings(
            num_prompts=rl.num_prompts,
            num_rollouts=rl.num_rollouts,
            sampling=self.sampling,
            micro_batch_tokens=by_platform(rl.micro_batch_tokens, cpu=1024, accelerator=65_536),
            aggregation=rl.aggregation,
            clip_epsilon=rl.clip_epsilon if rl.clip_epsilon and rl.minibatches > 1 else None,
            entropy_coef=rl.entropy_coef,
            kl_coef=rl.kl_coef,
            decode_rows=rl.decode_rows or None,
            minibatches=rl.minibatches,
            largest_weight=rl.largest_weight if rl.rollouts else None,
            max_at_k=rl.advantage.k if rl.loss == "max_at_k" else None,
        )


def num_eval_key(config: Any) -> str:
    """The field of ``eval`` that says how many held-out prompts are evaluated."""
    return "num_mazes" if "num_mazes" in config.eval else "num_prompts"


def in_one_program(config: Any, task: Task) -> bool:
    """Whether an RL step is one program: the host neither judges nor draws."""
    rl = config.rl
    return not (task.judged_on_host or rl.rollouts or rl.decode_segments)


def by_platform(value: int, cpu: int, accelerator: int) -> int:
    """`value`, or where it is 0 the number that suits the platform."""
    return value or (cpu if jax.default_backend() == "cpu" else accelerator)


def fresh_config(config: Any, vocabulary_size: int) -> decoder.Config:
    """The shape of a model that the config's fields describe."""
    return decoder.Config(vocab_size=vocabulary_size, **{name: config.model[name] for name in SHAPE})


def _model_config(config: Any, task: Task) -> decoder.Config:
    folder = config.model.init_from
    return decoder.read_config(folder) if folder else fresh_config(config, task.vocabulary_size)
