"""The Qwen2 decoder (flax.nnx): one block, written once, whatever its attention reads.

A block asks a function `attend(q, k, v, cache) -> (attended, new cache)` for its attention; the full
forward, cached decoding and the shared-prefix update differ in that function alone.
Modules are plain trees, so `nnx.split` and `nnx.merge` turn a model into a pytree of parameters and back.

Letters: B sequences, T positions, P prompts, S prompt positions, D hidden, H query heads, K key-value
heads, h width of a head, V vocabulary; x stands for any leading axes ([B, T], [P, N, T] or [P, N]).
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from maxrl_jax.lm.decoder import attention
from maxrl_jax.lm.decoder.config import Config
from maxrl_jax.lm.decoder.layers import Linear, RMSNorm, Rotation, rotate, rotation, wide

Attend = Callable[[jax.Array, jax.Array, jax.Array, Any], tuple[jax.Array, Any]]
Prefix = tuple[tuple[jax.Array, jax.Array], ...]
Tree = TypeVar("Tree")


def cast(tree: Tree, dtype: jax.typing.DTypeLike) -> Tree:
    """The model (or its parameters) with every array in `dtype`: the compute copy of master weights."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)


class Block(nnx.Module):
    """Attention and SwiGLU MLP, each behind an RMSNorm and added to the residual stream."""

    def __init__(self, config: Config, *, rngs: nnx.Rngs):
        D, F, h, stddev = (
            config.hidden_size,
            config.intermediate_size,
            config.head_width,
            config.initializer_range,
        )
        H, K = config.num_heads, config.num_kv_heads
        self.head_width = h
        self.attention_norm = RMSNorm(D, config.rms_norm_eps)
        self.query_proj = Linear(D, H * h, stddev=stddev, bias=True, rngs=rngs)
        self.key_proj = Linear(D, K * h, stddev=stddev, bias=True, rngs=rngs)
        self.value_proj = Linear(D, K * h, stddev=stddev, bias=True, rngs=rngs)
        self.output_proj = Linear(H * h, D, stddev=stddev, rngs=rngs)
        self.mlp_norm = RMSNorm(D, config.rms_norm_eps)
        self.gate_proj = Linear(D, F, stddev=stddev, rngs=rngs)
        self.up_proj = Linear(D, F, stddev=stddev, rngs=rngs)
        self.down_proj = Linear(F, D, stddev=stddev, rngs=rngs)

    def query(self, x_xD: jax.Array, rope: Rotation) -> jax.Array:
        """Rotated queries [..., H, h]."""
        return rotate(self._heads(self.query_proj(self.attention_norm(x_xD))), rope)

    def key_value(self, x_xD: jax.Array, rope: Rotation) -> tuple[jax.Array, jax.Array]:
        """Rotated keys and values, each [..., K, h]."""
        y_xD = self.attention_norm(x_xD)
        return rotate(self._heads(self.key_proj(y_xD)), rope), self._heads(self.value_proj(y_xD))

    def finish(self, x_xD: jax.Array, attended_xHxh: jax.Array) -> jax.Array:
        """Adds the attention's output, then the MLP's, to the residual stream."""
        x_xD = x_xD + self.output_proj(attended_xHxh.reshape(*x_xD.shape[:-1], -1))
        y_xD = self.mlp_norm(x_xD)
        return x_xD + self.down_proj(jax.nn.silu(self.gate_proj(y_xD)) * self.up_proj(y_xD))

    def _heads(self, x: jax.Array) -> jax.Array:
        return x.reshape(*x.shape[:-1], -1, self.head_width)


class Qwen2(nnx.Module):
    """A Qwen2 decoder; `model(tokens [B, T]) -> logits [B, T, V]`.

    Parameters are made in float32; `cast(model, jnp.bfloat16)` is a copy that computes in bfloat16 (norms,
    softmaxes and logits stay float32).

    Example:
        >>> config = Config(hidden_size=8, intermediate_size=16, num_layers=1, num_heads=2)
        >>> Qwen2(config, rngs=nnx.Rngs(0))(jnp.zeros((1, 3), jnp.int32)).shape
        (1, 3, 32)
    """

    def __init__(self, config: Config, *, rngs: nnx.Rngs):
        init = nnx.initializers.normal(config.initializer_range)
        shape = (config.vocab_size, config.hidden_size)
        self.config = config
        self.embedding = nnx.Param(init(rngs.params(), shape))
        self.blocks = nnx.List([Block(config, rngs=rngs) for _ in range(config.num_layers)])
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.head = None if config.tie_embeddings else nnx.Param(init(rngs.params(), shape))

    def __call__(self, tokens_BxT: jax.Array) -> jax.Array:
        """Logits of the next token at every position, [B, T, V]."""

        def attend(q, k, v, _):
            return attention.causal(q, k.swapaxes(1, 2), v.swapaxes(1, 2)), None

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
            attend: attention of q [..., H, h] given k, v [..., K, h] of the same tokens and a cache.
            caches: one for each block, of any type.
        """
        x_xD = self.embed(tokens_x)
        new_caches = []
        for block, cache in zip(self.blocks, caches, strict=True):
            attended, new_cache = attend(block.query(x_xD, rope), *block.key_value(x_xD, rope), cache)
            x_xD = block.finish(x_xD, attended)
            new_caches.append(new_cache)
        return x_xD, tuple(new_caches)

    def prefill(self, prompts_PxS: jax.Array) -> tuple[jax.Array, Prefix]:
        """One pass over prompts: next-token logits [P, V] and each block's (keys, values) [P, K, S, h].

        Only the last position's logits are wanted, so the last block computes queries, attention and MLP
        for that position alone; its keys and values need the whole prompt.
        """
        rope = self.rotation(0, prompts_PxS.shape[1])
        x_PxSxD = self.embed(prompts_PxS)
        prefix = []
        for layer, block in enumerate(self.blocks):
            k_PxSxKxh, v_PxSxKxh = block.key_value(x_PxSxD, rope)
            k_PxKxSxh, v_PxKxSxh = k_PxSxKxh.swapaxes(1, 2), v_PxSxKxh.swapaxes(1, 2)
            prefix.append((k_PxKxSxh, v_PxKxSxh))
            if layer == self.config.num_layers - 1:
                x_PxSxD, rope = x_PxSxD[:, -1:], (rope[0][-1:], rope[1][-1:])
            attended = attention.causal(block.query(x_PxSxD, rope), k_PxKxSxh, v_PxKxSxh)
            x_PxSxD = block.finish(x_PxSxD, attended)
        return self.logits(x_PxSxD[:, 0]), tuple(prefix)

    def rotation(self, start: int, stop: int) -> Rotation:
        """Rotary cosines and sines of positions start..stop-1."""
        if stop > self.config.max_positions:
            raise ValueError(f"sequence of {stop} tokens: the model has max_positions = {self.config.max_positions}")
        return rotation(self.config, start, stop)

    def embed(self, tokens_x: jax.Array) -> jax.Array:
        """Embedding rows of tokens, [..., D]."""
        return jnp.take(self.embedding[...], tokens_x, axis=0)

    def logits(self, x_xD: jax.Array) -> jax.Array:
        """Final norm and output matrix: logits [..., V], float32 or wider."""
        matrix_VxD = self.embedding[...] if self.head is None else self.head[...]
        y_MxD = self.norm(x_xD).reshape(-1, x_xD.shape[-1])
        logits_MxV = jax.lax.dot_general(
            y_MxD, matrix_VxD, (((1,), (1,)), ((), ())), preferred_element_type=wide(y_MxD.dtype)
        )
        return logits_MxV.reshape(*x_xD.shape[:-1], -1)
