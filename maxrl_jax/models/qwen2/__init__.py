"""Qwen2 decoder in flax.nnx, and its Hugging Face files."""

from maxrl_jax.models.qwen2.config import Config
from maxrl_jax.models.qwen2.hf import load_hf, save_hf
from maxrl_jax.models.qwen2.layers import Rotation, wide
from maxrl_jax.models.qwen2.model import Prefix, Qwen2, cast

__all__ = ["Config", "Prefix", "Qwen2", "Rotation", "cast", "load_hf", "save_hf", "wide"]
