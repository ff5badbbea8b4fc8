"""Decoders of several families in flax.nnx, one model with a config of mechanisms, and their Hugging Face files."""

from maxrl_jax.lm.decoder.config import Config, Llama3Scaling, Rule
from maxrl_jax.lm.decoder.hf import check_hf, load_hf, read_config, save_hf, stored_type
from maxrl_jax.lm.decoder.layers import soft_cap, wide
from maxrl_jax.lm.decoder.model import Decoder, Prefix
from maxrl_jax.lm.decoder.rope import Rotation
from maxrl_jax.lm.decoder.stack import Layer

__all__ = [
    "Config",
    "Decoder",
    "Layer",
    "Llama3Scaling",
    "Prefix",
    "Rotation",
    "Rule",
    "check_hf",
    "load_hf",
    "read_config",
    "save_hf",
    "soft_cap",
    "stored_type",
    "wide",
]
