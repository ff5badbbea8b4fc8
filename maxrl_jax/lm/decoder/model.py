"""The decoder (flax.nnx): embeddings, the stacks of blocks, and what is computed with them.

Every pass over the blocks asks a function `attend(rule, q, k, v, layer, caches) -> (attended, caches)` for their
attention; the full forward, cached decoding and the shared-prefix update differ in that function alone.
Modules are plain trees, so `nnx.split` and `nnx.merge` turn a model into a pytree of parameters and back.

Letters: B sequences, T positions, P prompts, S prompt positions, D hidden, H query heads, K key-value
heads, h width of a head, V vocabulary, R entries of a stack of blocks (`stack`); x stands for any leading axes
([B, T], [P, N, T] or [P, N]).
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from maxrl_jax.lm.decoder import attention, stack
from maxrl_jax.lm.decoder.block import Block
from maxrl_jax.lm.decoder.config import Config, Rule
from maxrl_jax.lm.decoder.layers import RMSNorm, soft_cap, wide
from maxrl_jax.lm.decoder.rope import Rotation, rotation
from maxrl_jax.lm.decoder.stack import Layer

Attend = Callable[[Rule, jax.Array, jax.Array, jax.Array, Layer, Any], tuple[jax.Array, Any]]
Prefix = tuple[tuple[jax.Array, jax.Array], ...]
"""Of each stack: keys and values of prompts, [R, P, K, S, h]."""
Tree = TypeVar("Tree")


def cast(tree: Tree, dtype: jax.typing.DTypeLike) -> Tree:
    """The model (or its parameters) with every array in `dtype`: the compute copy of master weights."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)


class Decoder(nnx.Module):
    """A decoder; `model(tokens [B, T]) -> logits [B, T, V]`.

    Parameters are made in float32; `cast(model, jnp.bfloat16)` is a copy that computes in bfloat16 (norms,
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

    def __call__(self, tokens_BxT: jax.Array, *, remat: bool = False) -> jax.Array:
        """Logits of the next token at every position, [B, T, V]; `remat` as in `run`."""

        def attend(rule, q, k, v, layer, caches):
            return attention.causal(q, k.swapaxes(1, 2), v.swapaxes(1, 2), rule), caches

        x_BxTxD, _ = self.run(tokens_BxT, self.rotation(0, tokens_BxT.shape[1]), attend, remat=remat)
        return self.logits(x_BxTxD)

    def run(
        self,
        tokens_x: jax.Array,
        rope: Rotation,
        attend: Attend,
        given: Sequence[Any] | None = None,
        caches: Any = None,
        *,
        remat: bool = False,
    ) -> tuple[jax.Array, Any]:
        """All blocks: the residual stream [..., D] after them, and the caches as the last one left them.

        Args:
            tokens_x: int32 [...].
            rope: of the tokens' positions, each array broadcasting against [..., 1, h/2].
            attend: attention of q [..., H, h] given the block's rule, k, v [..., K, h] of the same tokens, the layer
                and the caches.
            given: for each stack a pytree of [R, ...]; `attend` reads a layer's own entry.
            caches: pytree that goes through all blocks; `attend` writes a layer's part of it.
            remat: a gradient keeps only what goes from block to block, and computes the rest again.
        """

        def step(block: Block, carry: tuple[jax.Array, Any], layer: Layer) -> tuple[tuple[jax.Array, Any], None]:
            x_xD, caches = carry
            q_xHxh, (k_xKxh, v_xKxh) = block.query(x_xD, rope), block.key_value(x_xD, rope)
            attended, caches = attend(block.rule, q_xHxh, k_xKxh, v_xKxh, layer, caches)
            return (block.finish(x_xD, attended), caches), None

        return stack.through(self.blocks, step, (self.embed(tokens_x), caches), given, remat=remat)[0]

    def prefill(
        self, prompts_PxS: jax.Array, lengths_P: jax.Array | None = None, *, remat: bool = False
    ) -> tuple[jax.Array, Prefix]:
        """One pass over prompts: the last position's stream [P, D], and the keys and values of all blocks.

        Prompts of other `lengths_P` than S are padded on the right: the last position is then each prompt's own,
        and what the prefix holds after it is for nobody to read. `remat` as in `run`.
        """
        rope = self.rotation(0, prompts_PxS.shape[1])
        places_Px1 = None if lengths_P is None else lengths_P[:, None] - 1
        looped = len(self.blocks) < self.config.num_layers

        def last(x_PxSxD: jax.Array) -> jax.Array:
            if places_Px1 is None:
                return x_PxSxD[:, -1:]
            return jnp.take_along_axis(x_PxSxD, places_Px1[..., None], axis=1)

        def step(block: Block, x_PxSxD: jax.Array, layer: Layer) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            k_PxKxSxh, v_PxKxSxh = (a.swapaxes(1, 2) for a in block.key_value(x_PxSxD, rope))
            of_queries, places = rope, None
            # The last block computes queries, attention and MLP for the last position alone; its keys and values need
            # the whole prompt. In a loop all blocks are one program, and compute all positions.
            if not looped and layer.place == self.config.num_layers - 1:
                x_PxSxD, places = last(x_PxSxD), places_Px1
                of_last = slice(-1, None) if places is None else places
                of_queries = rope[0][of_last], rope[1][of_last]
            attended = attention.causal(block.query(x_PxSxD, of_queries), k_PxKxSxh, v_PxKxSxh, block.rule, places)
            return block.finish(x_PxSxD, attended), (k_PxKxSxh, v_PxKxSxh)

        x_PxSxD, prefix = stack.through(self.blocks, step, self.embed(prompts_PxS), remat=remat)
        return (last(x_PxSxD) if looped else x_PxSxD)[:, 0], prefix

    def rotation(self, start: int, stop: int) -> Rotation:
        """Rotary cosines and sines of positions start..stop-1, each [T, 1, h/2]."""
        if stop > self.config.max_positions:
            raise ValueError(f"sequence of {stop} tokens: the model has max_positions = {self.config.max_positions}")
        return rotation(self.config, start, stop)

    def answer_rotation(self, S: int, T: int, lengths_P: jax.Array | None) -> Rotation:
        """Rotary cosines and sines of answers to prompts of S tokens, or of given lengths up to S.

        Shaped [T, 1, h/2] or [P, 1, T, 1, h/2], to broadcast against [P, N, T, H, h/2].
        """
        if lengths_P is None:
            return self.rotation(S, S + T)
        cos, sin = self.rotation(0, S + T)
        places_Px1xT = lengths_P[:, None, None] + jnp.arange(T)
        return cos[places_Px1xT], sin[places_Px1xT]

    def embed(self, tokens_x: jax.Array) -> jax.Array:
        """Embedding rows of tokens, [..., D]."""
        x_xD = jnp.take(self.embedding[...], tokens_x, axis=0)
        if self.config.scale_embeddings:
            return x_xD * jnp.asarray(self.config.hidden_size**0.5, x_xD.dtype)  # rounded before the product
        return x_xD

    def output_matrix(self) -> jax.Array:
        """The matrix [V, D] whose product with the normed stream is the logits."""
        return self.embedding[...] if self.head is None else self.head[...]

    def logits(self, x_xD: jax.Array) -> jax.Array:
        """Final norm and output matrix: logits [..., V], float32 or wider."""
        matrix_VxD = self.output_matrix()
        y_MxD = self.norm(x_xD).reshape(-1, x_xD.shape[-1])
        logits_MxV = jax.lax.dot_general(
            y_MxD, matrix_VxD, (((1,), (1,)), ((), ())), preferred_element_type=wide(y_MxD.dtype)
        )
        return soft_cap(logits_MxV, self.config.final_soft_cap).reshape(*x_xD.shape[:-1], -1)
