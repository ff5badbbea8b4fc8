"""One block of a decoder (flax.nnx), written once, whatever its family and whatever its attention reads.

Letters: D hidden, F width of the MLP, H query heads, K key-value heads, h width of a head; leading axes are [B, T],
[P, N, T] or [P, N].
"""

import functools

import jax
from flax import nnx
from jaxtyping import Array, Float

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

    def query(self, x: Float[Array, "... D"], rope: Rotation) -> Float[Array, "... H h"]:
        """Rotated queries."""
        q = self._heads(self.query_proj(self.attention_norm(x)))
        return rotate(q if self.query_norm is None else self.query_norm(q), rope)

    def key_value(
        self, x: Float[Array, "... D"], rope: Rotation
    ) -> tuple[Float[Array, "... K h"], Float[Array, "... K h"]]:
        """Rotated keys, and values."""
        y = self.attention_norm(x)
        k = self._heads(self.key_proj(y))
        k = rotate(k if self.key_norm is None else self.key_norm(k), rope)
        return k, self._heads(self.value_proj(y))

    def finish(self, x: Float[Array, "... D"], attended: Float[Array, "... H h"]) -> Float[Array, "... D"]:
        """Adds the attention's output, then the MLP's, to the residual stream."""
        y = self.output_proj(attended.reshape(*x.shape[:-1], -1))
        x = x + (y if self.attention_post_norm is None else self.attention_post_norm(y))
        y = self.mlp_norm(x)
        y = self.down_proj(ACTIVATIONS[self.activation](self.gate_proj(y)) * self.up_proj(y))
        return x + (y if self.mlp_post_norm is None else self.mlp_post_norm(y))

    def _heads(self, x: Float[Array, "... width"]) -> Float[Array, "... H h"]:
        return x.reshape(*x.shape[:-1], -1, self.head_width)
