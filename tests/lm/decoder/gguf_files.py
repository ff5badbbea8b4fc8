"""GGUF files as llama.cpp writes them, made from the golden models of every family."""

import json

import gguf
import numpy as np
from safetensors import numpy as safetensors_numpy

from maxrl_jax.lm.decoder import rope
from maxrl_jax.lm.decoder.config import Config, Llama3Scaling


def write(source, file, *, kind=None, change=None, tokens=None):
    """Writes the model of a folder as F32, or its down projections as ``kind``; `change(writer)` adds metadata."""
    fields = json.loads((source / "config.json").read_text())
    tensors = safetensors_numpy.load_file(source / "model.safetensors")
    family = fields["model_type"]
    writer = gguf.GGUFWriter(file, family)
    writer.add_block_count(fields["num_hidden_layers"])
    writer.add_context_length(fields["max_position_embeddings"])
    writer.add_embedding_length(fields["hidden_size"])
    writer.add_feed_forward_length(fields["intermediate_size"])
    writer.add_head_count(fields["num_attention_heads"])
    writer.add_head_count_kv(fields["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(fields["rms_norm_eps"])
    writer.add_rope_freq_base(fields["rope_parameters"]["rope_theta"])
    if fields.get("head_dim"):
        writer.add_key_length(fields["head_dim"])
    if family == "gemma2":
        writer.add_attn_logit_softcapping(fields["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(fields["final_logit_softcapping"])
        writer.add_sliding_window(fields["sliding_window"])
    _add_tokenizer(writer, **(tokens or letters(fields["vocab_size"])))
    if change:
        change(writer)
    for name, tensor in tensors.items():
        if fields.get("tie_word_embeddings") and name == "lm_head.weight":
            continue
        _add_tensor(writer, fields, name, tensor, kind)
    if fields["rope_parameters"].get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", divisors(fields))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def letters(size):
    """A vocabulary of two special tokens, single letters and one pair of them."""
    tokens = ["<end>", "<turn>", *(chr(65 + place) for place in range(size - 3)), "AB"]
    return {"tokens": tokens, "special": 2, "merges": [("A", "B")], "pre": "gpt-2", "eos": 0}


def divisors(fields):
    """The factors that llama.cpp's converter writes for Llama 3's stretched frequencies."""
    plain = Config(head_dim=fields["head_dim"], rope_theta=fields["rope_parameters"]["rope_theta"])
    stretched = Config(
        head_dim=fields["head_dim"],
        rope_theta=fields["rope_parameters"]["rope_theta"],
        rope_scaling=Llama3Scaling(fields["rope_parameters"]["factor"], 1.0, 4.0, 8192),
    )
    return (rope.frequencies(plain) / rope.frequencies(stretched)).astype(np.float32)


def _add_tokenizer(writer, *, tokens, special, merges, pre, eos):
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3] * special + [1] * (len(tokens) - special))
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_eos_token_id(eos)
    writer.add_chat_template("{% for message in messages %}{{ message['content'] }}{% endfor %}")


def _add_tensor(writer, fields, name, tensor, kind):
    module = name.split(".")[-2]
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
    if fields["model_type"] == "gemma2" and module.endswith("norm"):
        tensor = tensor + 1
    if fields["model_type"] == "llama" and module in heads:
        # convert_hf_to_gguf.py, LlamaModel.permute
        rows = tensor.reshape(fields[heads[module]], 2, -1, *tensor.shape[1:])
        tensor = rows.swapaxes(1, 2).reshape(tensor.shape)
    architectures = {name: architecture for architecture, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(architectures[fields["model_type"]], fields["num_hidden_layers"])
    full, tensor = names.get_name(name, (".weight", ".bias")), np.ascontiguousarray(tensor, np.float32)
    if kind is None or module != "down_proj":
        writer.add_tensor(full, tensor)
    else:
        writer.add_tensor(full, quantised(tensor, kind), raw_dtype=kind)


def quantised(tensor, kind):
    """The bytes of a tensor in this type; of the two that the package does not write, any blocks that are legal."""
    if kind.name not in ("Q4_K", "Q6_K"):
        return gguf.quants.quantize(tensor, kind)
    size, width = gguf.GGML_QUANT_SIZES[kind]
    blocks = np.random.default_rng(0).integers(0, 255, (tensor.size // size, width), np.uint8)
    half = np.array([0.01], np.float16).view(np.uint8)
    places = (0, 2) if kind.name == "Q4_K" else (width - 2,)
    for place in places:
        blocks[:, place : place + 2] = half
    return blocks.reshape(tensor.shape[0], -1)
