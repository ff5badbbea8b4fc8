"""Qwen2 decoder in flax.nnx, and its Hugging Face files."""

from maxrl_jax.lm.decoder.config import Config
from maxrl_jax.lm.decoder.hf import load_hf, save_hf
from maxrl_jax.lm.decoder.layers import Rotation, wide
from maxrl_jax.lm.decoder.model import Prefix, Qwen2, cast

__all__ = ["Config", "Prefix", "Qwen2", "Rotation", "cast", "load_hf", "save_hf", "wide"]
