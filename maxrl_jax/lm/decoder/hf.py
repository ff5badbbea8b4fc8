"""Hugging Face folders of Qwen2ForCausalLM: config.json and safetensors, read and written."""

import json
import os
import pathlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax import nnx
from safetensors import numpy as safetensors_numpy
from safetensors import safe_open

from maxrl_jax.lm.decoder.config import Config
from maxrl_jax.lm.decoder.model import Qwen2

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

# Theirs -> (path in a block, whether theirs is transposed: torch stores a linear map as [outputs, inputs]).
_BLOCK_TENSORS = {
    "input_layernorm.weight": (("attention_norm", "scale"), False),
    "self_attn.q_proj.weight": (("query_proj", "kernel"), True),
    "self_attn.q_proj.bias": (("query_proj", "bias"), False),
    "self_attn.k_proj.weight": (("key_proj", "kernel"), True),
    "self_attn.k_proj.bias": (("key_proj", "bias"), False),
    "self_attn.v_proj.weight": (("value_proj", "kernel"), True),
    "self_attn.v_proj.bias": (("value_proj", "bias"), False),
    "self_attn.o_proj.weight": (("output_proj", "kernel"), True),
    "post_attention_layernorm.weight": (("mlp_norm", "scale"), False),
    "mlp.gate_proj.weight": (("gate_proj", "kernel"), True),
    "mlp.up_proj.weight": (("up_proj", "kernel"), True),
    "mlp.down_proj.weight": (("down_proj", "kernel"), True),
}


def load_hf(folder: str | os.PathLike[str], dtype: jax.typing.DTypeLike = jnp.float32) -> Qwen2:
    """Reads a Hugging Face folder of Qwen2ForCausalLM (one safetensors file, or several with an index).

    Args:
        folder: with config.json and the weights, in any float type.
        dtype: type of the model's parameters.

    Returns:
        A model with `model(tokens [B, T]) -> logits [B, T, V]`.

    Raises:
        FileNotFoundError: no config.json or no weights in the folder.
        ValueError: a tensor is missing or of another shape than config.json says, or a setting is not
            supported; one line.
    """
    folder = pathlib.Path(folder)
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder}: no config.json")
    config = Config.from_hugging_face(json.loads((folder / "config.json").read_text()))
    # Shapes only: the initial weights are never made.
    graphdef, state = nnx.split(nnx.eval_shape(lambda: Qwen2(config, rngs=nnx.Rngs(0))))
    flat = dict(nnx.to_flat_state(state))
    files = _files(folder)
    for name, path, transposed in _tensors(config):
        value = _read(folder, files, name)
        value = value.T if transposed else value
        wanted = flat[path].get_value().shape
        if value.shape != wanted:
            shapes = [list(shape[::-1] if transposed else shape) for shape in (value.shape, wanted)]
            raise ValueError(f"{folder}: tensor {name} has shape {shapes[0]}, config.json says {shapes[1]}")
        flat[path] = flat[path].replace(jnp.asarray(value, dtype))
    return nnx.merge(graphdef, nnx.from_flat_state(list(flat.items())))


def save_hf(model: Qwen2, folder: str | os.PathLike[str]) -> None:
    """Writes config.json and model.safetensors, which transformers' Qwen2ForCausalLM opens.

    Args:
        model: saved in the type of its parameters.
        folder: of the file system or of a bucket, made if it is not there; files of these names are replaced.
    """
    folder = epath.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    flat = dict(nnx.to_flat_state(nnx.state(model)))
    tensors = {}
    for name, path, transposed in _tensors(model.config):
        value = np.asarray(flat[path].get_value())
        tensors[name] = np.ascontiguousarray(value.T if transposed else value)
    dtype = str(tensors["model.embed_tokens.weight"].dtype)
    (folder / SINGLE_FILE).write_bytes(safetensors_numpy.save(tensors, metadata={"format": "pt"}))
    # Both names of the type: `torch_dtype` is read by older versions of transformers.
    fields = model.config.to_hugging_face() | {"dtype": dtype, "torch_dtype": dtype}
    (folder / "config.json").write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n")
    (folder / INDEX_FILE).unlink(missing_ok=True)


def _tensors(config: Config) -> Iterator[tuple[str, tuple, bool]]:
    """(their name, path in our state, transposed) of every tensor."""
    yield "model.embed_tokens.weight", ("embedding",), False
    yield "model.norm.weight", ("norm", "scale"), False
    if not config.tie_embeddings:
        yield "lm_head.weight", ("head",), False
    for layer in range(config.num_layers):
        for name, (path, transposed) in _BLOCK_TENSORS.items():
            yield f"model.layers.{layer}.{name}", ("blocks", layer, *path), transposed


def _files(folder: pathlib.Path) -> dict[str, str]:
    """The file of each tensor, by the tensor's name."""
    if (folder / INDEX_FILE).is_file():
        return json.loads((folder / INDEX_FILE).read_text())["weight_map"]
    if not (folder / SINGLE_FILE).is_file():
        raise FileNotFoundError(f"{folder}: neither {SINGLE_FILE} nor {INDEX_FILE}")
    with safe_open(folder / SINGLE_FILE, framework="numpy") as file:
        return dict.fromkeys(file.keys(), SINGLE_FILE)


def _read(folder: pathlib.Path, files: dict[str, str], name: str) -> np.ndarray:
    if name not in files:
        raise ValueError(f"{folder}: tensor {name} is missing")
    with safe_open(folder / files[name], framework="numpy") as file:
        return file.get_tensor(name)
