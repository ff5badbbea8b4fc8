"""llama.cpp's row orders and metadata, translated to Hugging Face's; the package gguf knows the names of tensors."""

import dataclasses
from typing import Any

import numpy as np

from maxrl_jax.lm.decoder import families, rope
from maxrl_jax.lm.decoder.config import Config, Llama3Scaling
from maxrl_jax.lm.decoder.gguf.file import File

_FREQUENCIES = "rope_freqs.weight"
_LLAMA3 = (1.0, 4.0, 8192)  # low and high factor and first context of every Llama 3 with scaled frequencies


def read_config(file: File) -> dict[str, Any]:
    """The fields of config.json.

    Raises:
        ValueError: an architecture that is not among `families.FAMILIES`, or a value that is missing or wrong.
    """
    kind = file.field("general.architecture", ", ".join(families.FAMILIES))
    if kind not in families.FAMILIES:
        allowed = ", ".join(families.FAMILIES)
        raise ValueError(f"{file.path}: general.architecture: got {kind!r}, allowed: {allowed}")

    def number(name: str) -> Any:
        return file.field(f"{kind}.{name}", "a number")

    heads = number("attention.head_count")
    fields = {
        "model_type": kind,
        "vocab_size": len(file.field("tokenizer.ggml.tokens", "the tokens of the vocabulary")),
        "hidden_size": number("embedding_length"),
        "intermediate_size": number("feed_forward_length"),
        "num_hidden_layers": number("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": file.fields.get(f"{kind}.attention.head_count_kv", heads),
        "head_dim": file.fields.get(f"{kind}.attention.key_length", number("embedding_length") // heads),
        "max_position_embeddings": number("context_length"),
        # Metadata are float32: 1e-5 comes back as 9.9999997e-06.
        "rms_norm_eps": _short(number("attention.layer_norm_rms_epsilon")),
        "rope_theta": _short(file.fields.get(f"{kind}.rope.freq_base", 10_000.0)),
        "tie_word_embeddings": "output.weight" not in file,
    }
    if kind == "gemma2":
        fields |= {
            "attn_logit_softcapping": _short(number("attn_logit_softcapping")),
            "final_logit_softcapping": _short(number("final_logit_softcapping")),
            "sliding_window": number("attention.sliding_window"),
            # Not in the file; llama.cpp itself knows the 27B model, of 46 blocks, by their number.
            "query_pre_attn_scalar": fields["hidden_size"] // heads
            if number("block_count") == 46
            else fields["head_dim"],
        }
    scaling = file.fields.get(f"{kind}.rope.scaling.type", "none")
    if scaling != "none":
        raise ValueError(f"{file.path}: {kind}.rope.scaling.type: got {scaling!r}, allowed: none")
    try:
        config = families.read(fields)
        return families.write(_stretched(file, config) if _FREQUENCIES in file else config)
    except ValueError as error:
        raise ValueError(f"{file.path}: {error}") from None


def tensors(file: File, config: Config) -> dict[str, np.ndarray]:
    """The tensors by Hugging Face's names, in float32 and Hugging Face's order of rows.

    Raises:
        ValueError: one is missing, or the file has one that the model does not.
    """
    import gguf

    kind = families.of(config).model_type
    architectures = {name: architecture for architecture, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(architectures[kind], config.num_layers)
    known, found = {_FREQUENCIES}, {}
    for parameter in families.parameters(config):
        for name in parameter.names:
            source = names.get_name(name, (".weight", ".bias")) or name
            known.add(source)
            value = file.read(source)
            if config.unit_offset_norms and name.endswith("norm.weight"):
                value = value - 1.0  # llama.cpp adds Gemma's 1 when it writes the file
            if kind == "llama" and (".q_proj." in name or ".k_proj." in name):
                value = _unpermuted(value, config.num_heads if ".q_proj." in name else config.num_kv_heads)
            found[name] = value
    unknown = sorted(file.names() - known)
    if unknown:
        raise ValueError(
            f"{file.path}: tensor {unknown[0]}: the model that the metadata describe has none of this name"
        )
    return found


def _unpermuted(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rows of q or k with each head's two rotary halves apart; llama.cpp interleaves them for this family."""
    apart = rows.reshape(heads, -1, 2, *rows.shape[1:])
    return np.ascontiguousarray(apart.swapaxes(1, 2)).reshape(rows.shape)


def _stretched(file: File, config: Config) -> Config:
    """The config with the rotary scaling that gives the file's divisors of frequencies; ValueError where none does."""
    divisors = file.read(_FREQUENCIES)
    scaling = Llama3Scaling(float(divisors.max()), *_LLAMA3)
    stretched = dataclasses.replace(config, rope_scaling=scaling)
    wanted = rope.frequencies(config) / rope.frequencies(stretched)
    if divisors.shape != wanted.shape or not np.allclose(divisors, wanted, rtol=1e-3):
        raise ValueError(f"tensor {_FREQUENCIES}: got other divisors than Llama 3's with factor {scaling.factor:g}")
    return stretched


def _short(value: float) -> float:
    """The shortest decimal that float32 rounds to this value."""
    return float(str(np.float32(value)))
