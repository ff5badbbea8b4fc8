"""What a maze config stands for: the model, the mazes and the lengths, made once for a run."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from maxrl_jax.lm import decoder
from maxrl_jax.lm.rollout import Settings
from maxrl_jax.runs import keys
from maxrl_jax.runs.devices import sharding
from maxrl_jax.runs.devices.precision import compute_dtype
from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import tokens

STOP_TOKENS = (tokens.DONE, tokens.EOS)


def by_platform(value: int, cpu: int, accelerator: int) -> int:
    """`value`, or where it is 0 what suits the platform."""
    return value or (cpu if jax.default_backend() == "cpu" else accelerator)


def model_config(config: Any) -> decoder.Config:
    """The model: that of the folder it is read from, or a fresh one of the config's shape."""
    folder = config.model.init_from
    return decoder.read_config(folder) if folder else fresh_model_config(config)


def fresh_model_config(config: Any) -> decoder.Config:
    """The shape that the config's fields describe."""
    return decoder.Config(
        vocab_size=tokens.VOCABULARY_SIZE,
        hidden_size=config.model.hidden_size,
        intermediate_size=config.model.intermediate_size,
        num_layers=config.model.num_layers,
        num_heads=config.model.num_heads,
        num_kv_heads=config.model.num_kv_heads,
        max_positions=config.model.max_positions,
    )


def answer_length(config: Any) -> int:
    """New tokens of an answer."""
    return config.maze.answer_length or maze.answer_length(config.maze.size, config.model.max_positions)


@dataclasses.dataclass(frozen=True)
class Problem:
    """The parts that SFT, RL and evaluation share.

    Attributes:
        config: the run's config.
        graph: the model without its parameters; `model` puts them together.
        held_out: mazes that are never trained on; the first `num_eval` of them are evaluated on.
        num_eval: mazes of an evaluation.
        length: tokens of an answer (T).
        dtype: of the forward and backward passes.
        mesh: of the run's devices.
    """

    config: Any
    graph: Any
    held_out: maze.HeldOut
    num_eval: int
    length: int
    dtype: jnp.dtype
    mesh: Mesh

    @classmethod
    def make(cls, config: Any) -> Problem:
        """Builds the held-out table and the model's graph."""
        shape = model_config(config)
        graph = nnx.graphdef(nnx.eval_shape(lambda: decoder.Decoder(shape, rngs=nnx.Rngs(0))))
        num_held_out, _ = maze.cap_held_out(config.maze.num_held_out, config.maze.size)
        table = maze.hold_out(keys.stream(config.eval.seed, "held_out"), num_held_out, config.maze.size)
        return cls(
            config=config,
            graph=graph,
            held_out=table,
            num_eval=min(config.eval.num_mazes, num_held_out),
            length=answer_length(config),
            dtype=compute_dtype(config.model.compute_dtype),
            mesh=sharding.mesh_from_config(config),
        )

    def notes(self) -> list[str]:
        """What a user should know about the sizes: one line each."""
        asked, size = self.config.maze.num_held_out, self.config.maze.size
        lines = [message for message in (maze.cap_held_out(asked, size)[1],) if message]
        if self.config.eval.num_mazes > self.num_eval:
            lines.append(
                f"eval.num_mazes: {self.config.eval.num_mazes} asked for, {self.num_eval} held out and evaluated"
            )
        return lines

    def init_params(self) -> Any:
        """Fresh parameters, or those of `model.init_from`; float32."""
        if self.config.model.init_from:
            model = decoder.load_hf(self.config.model.init_from)
            return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), nnx.state(model))
        shape = model_config(self.config)

        def build(seed: jax.Array) -> Any:
            return nnx.state(decoder.Decoder(shape, rngs=nnx.Rngs(keys.stream(seed, "params"))))

        return sharding.init(build, self.mesh, jnp.uint32(self.config.seed))

    def model(self, params: Any, dtype: Any = None) -> decoder.Decoder:
        """The model with its parameters, cast to `dtype` when given."""
        return nnx.merge(self.graph, params if dtype is None else decoder.cast(params, dtype))

    def settings(self, *, greedy: bool = False) -> Settings:
        """How answers are drawn."""
        return Settings(
            max_new_tokens=self.length,
            stop_tokens=STOP_TOKENS,
            temperature=0.0 if greedy else self.config.rl.temperature,
            top_p=1.0 if greedy else self.config.rl.top_p,
            pad_token=tokens.PAD,
        )

    def training_mazes(self, name: str, step: jax.Array, ids: jax.Array, batch_size: int) -> maze.Mazes:
        """The mazes with the given indices in the batch of one step, none of them held out.

        The stream `name` at `step` gives each maze a key of its own, so a device makes just its own mazes. With a
        fixed training set the indices run through it, epoch after epoch.
        """
        config = self.config
        if config.maze.training_set:
            set_key, order_key = jax.random.split(keys.stream(config.seed, "training_set"))
            places = maze.epoch_indices(order_key, step, batch_size, config.maze.training_set)[ids]
            maze_keys = jax.vmap(jax.random.fold_in, (None, 0))(set_key, places)
        else:
            maze_keys = jax.vmap(jax.random.fold_in, (None, 0))(keys.stream(config.seed, name, step), ids)
        return maze.sample_training_from_keys(maze_keys, config.maze.size, self.held_out)
