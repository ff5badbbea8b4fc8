"""The decoder (flax.nnx): embeddings, the stacks of blocks, and what is computed with them.

Every pass over the blocks calls a function `attend(rule, q, k, v, layer) -> (attended, result)` for their attention;
the full forward, cached decoding and the shared-prefix update differ in that function alone.
Modules are plain trees, so `nnx.split` and `nnx.merge` turn a model into a pytree of parameters and back.

Letters: B sequences, T positions, P prompts, N rollouts of each, S prompt positions, D hidden, H query heads, K
key-value heads, h width of a head, V vocabulary, R entries of a stack of blocks (`stack`); leading axes are [B, T],
[P, N, T] or [P, N].
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from maxrl_jax.devices import fsdp
from maxrl_jax.lm.decoder import attention, stack
from maxrl_jax.lm.decoder.block import Block
from maxrl_jax.lm.decoder.config import Config, Rule
from maxrl_jax.lm.decoder.layers import RMSNorm, soft_cap, wide
from maxrl_jax.lm.decoder.rope import Rotation, rotation
from maxrl_jax.lm.decoder.stack import Layer

Attend = Callable[
    [Rule, Float[Array, "... H h"], Float[Array, "... K h"], Float[Array, "... K h"], Layer],
    tuple[Float[Array, "... H h"], Any],
]
KeyValue = tuple[Float[Array, "P K S h"], Float[Array, "P K S h"]]
"""Keys and values of prompts, of one block."""
Prefix = tuple[tuple[Float[Array, "R P K S h"], Float[Array, "R P K S h"]], ...]
"""Keys and values of prompts, of each stack of blocks."""


class Decoder(nnx.Module):
    """A decoder; `model(tokens [B, T]) -> logits [B, T, V]`.

    Parameters are made in float32; `model.computing(jnp.bfloat16)` is a copy that computes in bfloat16 (norms,
    softmaxes and logits stay float32).

    Example:
        >>> config = Config(hidden_size=8, intermediate_size=16, num_layers=1, num_heads=2)
        >>> Decoder(config, rngs=nnx.Rngs(0))(jnp.zeros((1, 3), jnp.int32)).shape
        (1, 3, 32)
    """

    def __init__(self, config: Config, *, rngs: nnx.Rngs):
        init = nnx.initializers.normal(config.initializer_range)
        shape = (config.vocab_size, config.hidden_size)
        self.config = config
        self.source: str | None = None  # the folder it was read from, whose tokenizer `save_hf` passes on
        self.embedding = nnx.Param(init(rngs.params(), shape))
        self.blocks = stack.make(config, rngs)
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps, unit_offset=config.unit_offset_norms)
        self.head = None if config.tie_embeddings else nnx.Param(init(rngs.params(), shape))
        self.block_dtype: jnp.dtype | None = None  # that blocks are read in, one at a time; None: as they are
        self.remat = False

    def computing(self, dtype: jax.typing.DTypeLike, *, by_block: bool = False, remat: bool = False) -> "Decoder":
        """This model in `dtype`, inside `shard_map` whole where devices share its parameters (`devices.fsdp`).

        Args:
            dtype: of the parameters it computes with.
            by_block: a block is cast and gathered when a pass comes to it, for that long; False: all at once.
            remat: with `by_block`, a gradient keeps the residual stream between blocks alone, and runs each block
                again. Always so for blocks that are gathered, whose gradient would keep them all.
        """
        model = jax.tree.map(lambda leaf: leaf, self)  # with variables of its own
        V, D, shapes = self.config.vocab_size, self.config.hidden_size, stack.block_shapes(self.config)
        for parameter, shape in ((model.embedding, (V, D)), (model.head, (V, D)), (model.norm.scale, (D,))):
            if parameter is not None:
                parameter.set_value(fsdp.whole(parameter[...], jax.ShapeDtypeStruct(shape, dtype), dtype))
        if by_block:
            model.block_dtype = jnp.dtype(dtype)
            model.remat = remat or fsdp.is_split(nnx.state(model.blocks[0]), shapes)
        else:
            for blocks in model.blocks:
                nnx.update(blocks, fsdp.whole(nnx.state(blocks), shapes, dtype))
        return model

    def __call__(self, tokens: Int[Array, "B T"]) -> Float[Array, "B T V"]:
        """Logits of the next token at every position."""

        def attend(rule, q, k, v, layer):
            return attention.causal(q, k.swapaxes(1, 2), v.swapaxes(1, 2), rule), None

        x, _ = self.run(tokens, self.rotation(0, tokens.shape[1]), attend)
        return self.logits(x)

    def run(
        self,
        tokens: Int[Array, "..."],
        rope: Rotation,
        attend: Attend,
        given: Sequence[Any] | None = None,
    ) -> tuple[Float[Array, "... D"], tuple[Any, ...]]:
        """Runs all blocks; returns the residual stream after them, and for each stack `attend`'s results [R, ...].

        Args:
            tokens: the input.
            rope: rotation of the tokens' positions; each array broadcasts against [..., 1, h/2].
            attend: attention of q [..., H, h], given the block's rule, k and v [..., K, h] of the same tokens, and
                the layer.
            given: for each stack a pytree of [R, ...]; `attend` reads a layer's own entry.
        """

        def step(block: Block, x: Float[Array, "... D"], layer: Layer) -> tuple[Float[Array, "... D"], Any]:
            q, (k, v) = block.query(x, rope), block.key_value(x, rope)
            attended, result = attend(block.rule, q, k, v, layer)
            return block.finish(x, attended), result

        return self._through(step, self.embed(tokens), given)

    def prefill(
        self, prompts: Int[Array, "P S"], lengths: Int[Array, " P"] | None = None
    ) -> tuple[Float[Array, "P D"], Prefix]:
        """One pass over prompts: the last position's stream, and the keys and values of all blocks.

        Prompts of other `lengths` than S are padded on the right: the last position is then each prompt's own,
        and what the prefix holds after it is for nobody to read.
        """
        rope = self.rotation(0, prompts.shape[1])
        ends = None if lengths is None else lengths[:, None] - 1  # [P, 1]
        looped = len(self.blocks) < self.config.num_layers

        def last(x: Float[Array, "P S D"]) -> Float[Array, "P 1 D"]:
            if ends is None:
                return x[:, -1:]
            return jnp.take_along_axis(x, ends[..., None], axis=1)

        def step(block: Block, x: Float[Array, "P S D"], layer: Layer) -> tuple[Float[Array, "P T D"], KeyValue]:
            k, v = (a.swapaxes(1, 2) for a in block.key_value(x, rope))  # [P, K, S, h]
            of_queries, places = rope, None
            # The last block computes queries, attention and MLP for the last position alone; its keys and values need
            # the whole prompt. In a loop all blocks are one program, and compute all positions.
            if not looped and layer.place == self.config.num_layers - 1:
                x, places = last(x), ends
                of_last = slice(-1, None) if places is None else places
                of_queries = rope[0][of_last], rope[1][of_last]
            attended = attention.causal(block.query(x, of_queries), k, v, block.rule, places)
            return block.finish(x, attended), (k, v)

        x, prefix = self._through(step, self.embed(prompts))
        return (last(x) if looped else x)[:, 0], prefix

    def _through(self, step: stack.Step, x: Any, given: Sequence[Any] | None = None) -> tuple[Any, tuple[Any, ...]]:
        def read(params: nnx.State) -> nnx.State:
            if self.block_dtype is None:
                return params
            return fsdp.whole(params, stack.block_shapes(self.config), self.block_dtype)

        return stack.through(self.blocks, step, x, given, read=read, remat=self.remat)

    def rotation(self, start: int, stop: int) -> Rotation:
        """Rotary cosines and sines of positions start..stop-1, each [stop - start, 1, h/2]."""
        if stop > self.config.max_positions:
            raise ValueError(f"sequence of {stop} tokens: the model has max_positions = {self.config.max_positions}")
        return rotation(self.config, start, stop)

    def answer_rotation(self, S: int, T: int, prompt_lengths: Int[Array, " P"] | None) -> Rotation:
        """Rotary cosines and sines of T answer tokens to prompts of S tokens, or of given lengths up to S.

        Shaped [T, 1, h/2] or [P, 1, T, 1, h/2], to broadcast against [P, N, T, H, h/2].
        """
        if prompt_lengths is None:
            return self.rotation(S, S + T)
        cos, sin = self.rotation(0, S + T)
        places = prompt_lengths[:, None, None] + jnp.arange(T)  # [P, 1, T]
        return cos[places], sin[places]

    def embed(self, tokens: Int[Array, "..."]) -> Float[Array, "... D"]:
        """Embedding rows of tokens."""
        x = jnp.take(self.embedding[...], tokens, axis=0)
        if self.config.scale_embeddings:
            return x * jnp.asarray(self.config.hidden_size**0.5, x.dtype)  # rounded before the product
        return x

    def output_matrix(self) -> Float[Array, "V D"]:
        """The matrix whose product with the normed stream is the logits."""
        return self.embedding[...] if self.head is None else self.head[...]

    def logits(self, x: Float[Array, "... D"]) -> Float[Array, "... V"]:
        """Final norm and output matrix: logits, float32 or wider."""
        matrix = self.output_matrix()
        y = self.norm(x).reshape(-1, x.shape[-1])
        logits = jax.lax.dot_general(y, matrix, (((1,), (1,)), ((), ())), preferred_element_type=wide(y.dtype))
        return soft_cap(logits, self.config.final_soft_cap).reshape(*x.shape[:-1], -1)
