"""One block of a decoder (flax.nnx), written once, whatever its family and whatever its attention reads.

Letters: D hidden, F width of the MLP, H query heads, K key-value heads, h width of a head; x stands for any leading
axes ([B, T], [P, N, T] or [P, N]).
"""

import functools

import jax
from flax import nnx

from maxrl_jax.lm.decoder.config import Config
from maxrl_jax.lm.decoder.layers import Linear, RMSNorm
from maxrl_jax.lm.decoder.rope import Rotation, rotate

ACTIVATIONS = {"silu": jax.nn.silu, "gelu_pytorch_tanh": functools.partial(jax.nn.gelu, approximate=True)}


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
