"""What a config stands for: the task, the policy and the sizes of a step, made once for a run."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from maxrl_jax.lm import decoder, step
from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.rollout import Settings
from maxrl_jax.lm.task import Prompts, Task
from maxrl_jax.lm.update import Objective
from maxrl_jax.runs import keys
from maxrl_jax.runs.devices import sharding
from maxrl_jax.runs.devices.precision import compute_dtype


def by_platform(value: int, cpu: int, accelerator: int) -> int:
    """`value`, or where it is 0 what suits the platform."""
    return value or (cpu if jax.default_backend() == "cpu" else accelerator)


def model_config(config: Any, vocabulary_size: int) -> decoder.Config:
    """The model: that of the folder it is read from, or a fresh one of the config's shape."""
    folder = config.model.init_from
    return decoder.read_config(folder) if folder else fresh_model_config(config, vocabulary_size)


def fresh_model_config(config: Any, vocabulary_size: int) -> decoder.Config:
    """The shape that the config's fields describe."""
    return decoder.Config(
        vocab_size=vocabulary_size,
        hidden_size=config.model.hidden_size,
        intermediate_size=config.model.intermediate_size,
        num_layers=config.model.num_layers,
        num_heads=config.model.num_heads,
        num_kv_heads=config.model.num_kv_heads,
        max_positions=config.model.max_positions,
    )


@dataclasses.dataclass(frozen=True)
class Problem:
    """The parts that SFT, RL and evaluation share; a driver adds what is its own.

    Attributes:
        config: the run's config.
        task: gives prompts and judges answers.
        policy: the model without its parameters.
        num_eval: held-out prompts of an evaluation.
        mesh: of the run's devices.
    """

    config: Any
    task: Task
    policy: Policy
    num_eval: int
    mesh: Mesh

    @classmethod
    def of(cls, config: Any, task: Task, num_eval: int) -> Problem:
        """The problem of a task; at most ``num_eval`` of its held-out prompts are evaluated."""
        shape = model_config(config, task.vocabulary_size)
        graph = nnx.graphdef(nnx.eval_shape(lambda: decoder.Decoder(shape, rngs=nnx.Rngs(0))))
        return cls(
            config=config,
            task=task,
            policy=Policy(graph, compute_dtype(config.model.compute_dtype), config.model.remat),
            num_eval=min(num_eval, len(task.held_out)),
            mesh=sharding.mesh_from_config(config),
        )

    def notes(self) -> list[str]:
        """What a user should know about the sizes: one line each."""
        return list(self.task.notes)

    def init_params(self) -> Any:
        """Fresh parameters, or those of `model.init_from`; float32."""
        if self.config.model.init_from:
            where = functools.partial(sharding.parameter_sharding, self.mesh)
            return nnx.state(decoder.load_hf(self.config.model.init_from, shardings=where))
        shape = model_config(self.config, self.task.vocabulary_size)

        def build(seed: jax.Array) -> Any:
            return nnx.state(decoder.Decoder(shape, rngs=nnx.Rngs(keys.stream(seed, "params"))))

        return sharding.init(build, self.mesh, jnp.uint32(self.config.seed))

    def save(self, params: Any, folder: Path) -> None:
        """Writes a model folder in Hugging Face's format."""
        decoder.save_hf(self.policy.master(params), folder)

    @property
    def held_out(self) -> Prompts:
        """The prompts of an evaluation."""
        return self.task.held_out.at(slice(self.num_eval))

    @property
    def sampling(self) -> Settings:
        """How answers are drawn."""
        return Settings(
            max_new_tokens=self.task.answer_length,
            stop_tokens=self.task.stop_tokens,
            temperature=self.config.rl.temperature,
            top_p=self.config.rl.top_p,
            pad_token=self.task.pad_token,
        )

    @property
    def eval_sampling(self) -> Settings:
        """How the answers of an evaluation are drawn."""
        return self.sampling

    @property
    def measures_entropy(self) -> bool:
        """Whether evaluations find the entropy of answers."""
        return False

    @property
    def step(self) -> step.Settings:
        """Sizes, sampling and loss of an RL step."""
        rl = self.config.rl
        return step.Settings(
            num_prompts=rl.num_prompts,
            num_rollouts=rl.num_rollouts,
            sampling=self.sampling,
            objective=Objective(
                aggregation=rl.aggregation,
                entropy_coef=rl.entropy_coef,
                kl_coef=rl.kl_coef,
                temperature=rl.temperature,
                top_p=rl.top_p,
            ),
            micro_batch_tokens=by_platform(rl.micro_batch_tokens, cpu=1024, accelerator=65_536),
            decode_rows=rl.decode_rows or None,
        )
