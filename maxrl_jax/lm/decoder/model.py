"""The decoder (flax.nnx): one block, written once, whatever its family and whatever its attention reads.

A block asks a function `attend(rule, q, k, v, cache) -> (attended, new cache)` for its attention; the full
forward, cached decoding and the shared-prefix update differ in that function alone.
Modules are plain trees, so `nnx.split` and `nnx.merge` turn a model into a pytree of parameters and back.

Letters: B sequences, T positions, P prompts, S prompt positions, D hidden, H query heads, K key-value
heads, h width of a head, V vocabulary; x stands for any leading axes ([B, T], [P, N, T] or [P, N]).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from maxrl_jax.lm.decoder import attention
from maxrl_jax.lm.decoder.config import Config, Rule
from maxrl_jax.lm.decoder.layers import Linear, RMSNorm, soft_cap, wide
from maxrl_jax.lm.decoder.rope import Rotation, rotate, rotation

Attend = Callable[[Rule, jax.Array, jax.Array, jax.Array, Any], tuple[jax.Array, Any]]
ACTIVATIONS = {"silu": jax.nn.silu, "gelu_pytorch_tanh": functools.partial(jax.nn.gelu, approximate=True)}
Prefix = tuple[tuple[jax.Array, jax.Array], ...]
Tree = TypeVar("Tree")


def cast(tree: Tree, dtype: jax.typing.DTypeLike) -> Tree:
    """The model (or its parameters) with every array in `dtype`: the compute copy of master weights."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)


class Block(nnx.Module):
    """Attention and gated MLP, each behind an RMSNorm and added to the residual stream."""

    def __init__(self, config: Config, layer: int, *, rngs: nnx.Rngs):
        D, F, h = config.hidden_size, config.intermediate_size, config.head_width
        H, K = config.num_heads, config.num_kv_heads
        linear = functools.partial(Linear, stddev=config.initializer_range, rngs=rngs)
        norm = functools.partial(RMSNorm, eps=config.rms_norm_eps, unit_offset=config.unit_offset_norms)
        self.head_width = h
        self.rule = config.rule(layer)
        self.activation = config.activation
        self.attention_norm = norm(D)
        self.query_proj = linear(D, H * h, bias=config.qkv_bias)
        self.key_proj = linear(D, K * h, bias=config.qkv_bias)
        self.value_proj = linear(D, K * h, bias=config.qkv_bias)
        self.query_norm = norm(h) if config.qk_norm else None
        self.key_norm = norm(h) if config.qk_norm else None
        self.output_proj = linear(H * h, D)
        self.attention_post_norm = norm(D) if config.post_norms else None
        self.mlp_norm = norm(D)
        self.gate_proj = linear(D, F)
        self.up_proj = linear(D, F)
        self.down_proj = linear(F, D)
        self.mlp_post_norm = norm(D) if config.post_norms else None

    def query(self, x_xD: jax.Array, rope: Rotation) -> jax.Array:
        """Rotated queries [..., H, h]."""
        q_xHxh = self._heads(self.query_proj(self.attention_norm(x_xD)))
        return rotate(q_xHxh if self.query_norm is None else self.query_norm(q_xHxh), rope)

    def key_value(self, x_xD: jax.Array, rope: Rotation) -> tuple[jax.Array, jax.Array]:
        """Rotated keys and values, each [..., K, h]."""
        y_xD = self.attention_norm(x_xD)
        k_xKxh = self._heads(self.key_proj(y_xD))
        k_xKxh = rotate(k_xKxh if self.key_norm is None else self.key_norm(k_xKxh), rope)
        return k_xKxh, self._heads(self.value_proj(y_xD))

    def finish(self, x_xD: jax.Array, attended_xHxh: jax.Array) -> jax.Array:
        """Adds the attention's output, then the MLP's, to the residual stream."""
        attended_xD = self.output_proj(attended_xHxh.reshape(*x_xD.shape[:-1], -1))
        x_xD = x_xD + (attended_xD if self.attention_post_norm is None else self.attention_post_norm(attended_xD))
        y_xD = self.mlp_norm(x_xD)
        y_xD = self.down_proj(ACTIVATIONS[self.activation](self.gate_proj(y_xD)) * self.up_proj(y_xD))
        return x_xD + (y_xD if self.mlp_post_norm is None else self.mlp_post_norm(y_xD))

    def _heads(self, x: jax.Array) -> jax.Array:
        return x.reshape(*x.shape[:-1], -1, self.head_width)


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
        self.blocks = nnx.List([Block(config, layer, rngs=rngs) for layer in range(config.num_layers)])
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps, unit_offset=config.unit_offset_norms)
        self.head = None if config.tie_embeddings else nnx.Param(init(rngs.params(), shape))

    def __call__(self, tokens_BxT: jax.Array) -> jax.Array:
        """Logits of the next token at every position, [B, T, V]."""

        def attend(rule, q, k, v, _):
            return attention.causal(q, k.swapaxes(1, 2), v.swapaxes(1, 2), rule), None

        rope = self.rotation(0, tokens_BxT.shape[1])
        x_BxTxD, _ = self.run(tokens_BxT, rope, attend, (None,) * self.config.num_layers)
        return self.logits(x_BxTxD)

    def run(
        self, tokens_x: jax.Array, rope: Rotation, attend: Attend, caches: Sequence[Any]
    ) -> tuple[jax.Array, tuple[Any, ...]]:
        """All blocks: the residual stream [..., D] after them, and each block's new cache.

        Args:
            tokens_x: int32 [...].
            rope: of the tokens' positions, each array broadcasting against [..., 1, h/2].
            attend: attention of q [..., H, h] given the block's rule, k, v [..., K, h] of the same tokens and a cache.
            caches: one for each block, of any type.
        """
        x_xD = self.embed(tokens_x)
        new_caches = []
        for block, cache in zip(self.blocks, caches, strict=True):
            attended, new_cache = attend(block.rule, block.query(x_xD, rope), *block.key_value(x_xD, rope), cache)
            x_xD = block.finish(x_xD, attended)
            new_caches.append(new_cache)
        return x_xD, tuple(new_caches)

    def prefill(self, prompts_PxS: jax.Array, lengths_P: jax.Array | None = None) -> tuple[jax.Array, Prefix]:
        """One pass over prompts: the last position's stream [P, D] and each block's (keys, values) [P, K, S, h].

        Only the last position's logits are wanted, so the last block computes queries, attention and MLP
        for that position alone; its keys and values need the whole prompt. Prompts of other `lengths_P` than S are
        padded on the right: the last position is then each prompt's own, and what the prefix holds after it is
        for nobody to read.
        """
        rope = self.rotation(0, prompts_PxS.shape[1])
        x_PxSxD = self.embed(prompts_PxS)
        prefix = []
        for layer, block in enumerate(self.blocks):
            k_PxSxKxh, v_PxSxKxh = block.key_value(x_PxSxD, rope)
            k_PxKxSxh, v_PxKxSxh = k_PxSxKxh.swapaxes(1, 2), v_PxSxKxh.swapaxes(1, 2)
            prefix.append((k_PxKxSxh, v_PxKxSxh))
            places_Px1 = None
            if layer == self.config.num_layers - 1:
                if lengths_P is None:
                    x_PxSxD, rope = x_PxSxD[:, -1:], (rope[0][-1:], rope[1][-1:])
                else:
                    places_Px1 = lengths_P[:, None] - 1
                    x_PxSxD = jnp.take_along_axis(x_PxSxD, places_Px1[..., None], axis=1)
                    rope = (rope[0][places_Px1], rope[1][places_Px1])
            attended = attention.causal(block.query(x_PxSxD, rope), k_PxKxSxh, v_PxKxSxh, block.rule, places_Px1)
            x_PxSxD = block.finish(x_PxSxD, attended)
        return x_PxSxD[:, 0], tuple(prefix)

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
