"""Hugging Face folders: config.json, safetensors and the tokenizer's files, read and written.

The file decides: `read_config` is the whole config of the model in a folder, and what it asks for beyond that is
refused.
"""

import json
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax import nnx

from maxrl_jax.devices import sharding
from maxrl_jax.lm.decoder import families
from maxrl_jax.lm.decoder.config import Config
from maxrl_jax.lm.decoder.model import Decoder
from maxrl_jax.lm.decoder.weights import INDEX_FILE, SINGLE_FILE, Weights, read_json, write

CONFIG_FILE = "config.json"
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json", "generation_config.json",
)  # fmt: skip
TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_EMBEDDING = "model.embed_tokens.weight"
_UNUSED = ("rotary_emb.inv_freq", "lm_head.weight")  # endings of tensors that hold nothing of their own


def read_config(folder: str | os.PathLike[str]) -> Config:
    """The config of the model in a Hugging Face folder; nothing but its config.json is read.

    Raises:
        FileNotFoundError: no config.json.
        ValueError: it cannot be read, or asks for what the decoder does not do; one line, the file and the field.
    """
    path = _local(folder) / CONFIG_FILE
    fields = read_json(path)
    try:
        return families.read(fields)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def check_hf(folder: str | os.PathLike[str]) -> Config:
    """`read_config`, after every tensor was found in the files' headers with the right shape; reads no weights.

    Raises:
        FileNotFoundError, ValueError: as `load_hf`.
    """
    config = read_config(folder)
    _checked(_local(folder), config)
    return config


def load_hf(
    folder: str | os.PathLike[str],
    dtype: jax.typing.DTypeLike = jnp.float32,
    shardings: Callable[[jax.ShapeDtypeStruct], jax.sharding.Sharding] | None = None,
) -> Decoder:
    """Reads a Hugging Face folder of one of `families.FAMILIES` (one safetensors file, or several with an index).

    Args:
        folder: with config.json and the weights, in any float type.
        dtype: type of the model's parameters.
        shardings: where a parameter belongs, by its shape. Each process then reads what its own devices hold, and
            nothing else. None: all of it, on the default device.

    Returns:
        A model with `model(tokens [B, T]) -> logits [B, T, V]`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is broken, a tensor missing, unknown, of integers or of another shape than config.json
            says, or a setting is not supported; one line that names the file.
    """
    config = read_config(folder)
    weights = _checked(_local(folder), config)
    graphdef, state = nnx.split(_shapes(config))
    flat = dict(nnx.to_flat_state(state))
    for parameter in families.parameters(config):
        shape = flat[parameter.path].get_value()
        read = _reader(weights, parameter, dtype)
        if shardings is None:
            value = jnp.asarray(read((slice(None),) * shape.ndim))
        else:
            value = jax.make_array_from_callback(shape.shape, shardings(shape), read)
        flat[parameter.path] = flat[parameter.path].replace(value)
    model = nnx.merge(graphdef, nnx.from_flat_state(list(flat.items())))
    model.source = str(_local(folder).absolute())
    return model


def stored_type(folder: str | os.PathLike[str]) -> jax.typing.DTypeLike:
    """The type in which a folder's files hold the embedding, and with it the model: bfloat16 for most."""
    return Weights(_local(folder)).dtype(_EMBEDDING)


def save_hf(
    model: Decoder,
    folder: str | os.PathLike[str],
    *,
    tokenizer_from: str | os.PathLike[str] | None = None,
    dtype: jax.typing.DTypeLike | None = None,
    stop_tokens: Sequence[int] = (),
    pad_token: int | None = None,
) -> None:
    """Writes config.json and model.safetensors, which transformers opens.

    All processes of a run call it, and process 0 writes. One tensor at a time is whole and on the host.

    Args:
        model: to be saved; devices may hold parts of its parameters.
        folder: of the file system or of a bucket, made if it is not there; files of these names are replaced, and
            what else belongs to another model (its tokenizer, its shards) is removed.
        tokenizer_from: folder whose tokenizer files and special token ids are passed on; by default the one the
            model was read from, if it was.
        dtype: of the saved tensors; by default that of the model's parameters.
        stop_tokens: written as eos_token_id, so that transformers' ``generate`` ends, where that folder says nothing.
        pad_token: written as pad_token_id, likewise.

    Raises:
        ValueError: no family of Hugging Face's can express the model's config; or the folder holds a tokenizer, and
            the model comes with none.
    """
    fields = families.write(model.config)
    folder = epath.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    source = tokenizer_from or model.source
    if source is None:
        there = [name for name in TOKENIZER_FILES if (folder / name).exists()]
        if there:
            raise ValueError(f"{folder}: got {there[0]} of another model, allowed: a folder without a tokenizer")
    flat = dict(nnx.to_flat_state(nnx.state(model)))
    parameters = [(parameter, flat[parameter.path].get_value()) for parameter in families.parameters(model.config)]
    dtype = np.dtype(model.embedding.dtype if dtype is None else dtype)
    shapes = {}
    for parameter, value in parameters:
        shape = value.shape[1:] if parameter.stacked else value.shape
        shapes |= dict.fromkeys(parameter.names, shape[::-1] if parameter.transposed else shape)

    def tensors() -> Iterator[np.ndarray]:
        for parameter, value in parameters:
            for number in range(len(parameter.names)):
                array = sharding.to_host(value[number] if parameter.stacked else value).astype(dtype, copy=False)
                yield array.T if parameter.transposed else array

    writes = jax.process_index() == 0
    write(folder / SINGLE_FILE if writes else None, shapes, dtype, tensors())
    if not writes:
        return
    if stop_tokens:
        fields["eos_token_id"] = stop_tokens[0] if len(stop_tokens) == 1 else list(stop_tokens)
    if pad_token is not None:
        fields["pad_token_id"] = pad_token
    if source is not None:
        fields |= pass_on(epath.Path(source), folder)
    # Both names of the type: `torch_dtype` is read by older versions of transformers.
    fields |= {"dtype": dtype.name, "torch_dtype": dtype.name}
    (folder / CONFIG_FILE).write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n")
    for path in list(folder.iterdir()):
        if path.name == INDEX_FILE or _SHARD.fullmatch(path.name):
            path.unlink()


def _local(folder: str | os.PathLike[str]) -> pathlib.Path:
    return pathlib.Path(folder).expanduser()


def _shapes(config: Config) -> Decoder:
    """The model without its parameters: the initial weights are never made."""
    return nnx.eval_shape(lambda: Decoder(config, rngs=nnx.Rngs(0)))


def _checked(folder: pathlib.Path, config: Config) -> Weights:
    """The weights of the folder, known to be those of the config."""
    weights = Weights(folder)
    flat = dict(nnx.to_flat_state(nnx.state(_shapes(config))))
    known = set()
    for parameter in families.parameters(config):
        shape = flat[parameter.path].get_value().shape[1 if parameter.stacked else 0 :]
        for name in parameter.names:
            weights.check(name, shape[::-1] if parameter.transposed else shape)
        known.update(parameter.names)
    unknown = sorted(name for name in weights.names() - known if not name.endswith(_UNUSED))
    if unknown:
        raise ValueError(f"{folder}: tensor {unknown[0]}: config.json describes a model that has none of this name")
    return weights


def _reader(
    weights: Weights, parameter: families.Parameter, dtype: jax.typing.DTypeLike
) -> Callable[[Any], np.ndarray]:
    """From a part of one of our parameters, slices, to its values; devices that hold the same part read it once."""
    held: dict[str, np.ndarray] = {}

    def read(part: tuple[slice, ...]) -> np.ndarray:
        names = parameter.names
        if parameter.stacked:
            names, part = names[part[0]], part[1:]

        def entry(name: str) -> np.ndarray:
            value = weights.read(name, part[::-1] if parameter.transposed else part).astype(dtype, copy=False)
            return value.T if parameter.transposed else value

        first = entry(names[0])
        if not parameter.stacked:
            return first
        stack = np.empty((len(names), *first.shape), dtype)
        for number, name in enumerate(names):
            stack[number] = entry(name) if number else first
        return stack

    def read_once(part: Any) -> np.ndarray:
        if str(part) not in held:
            held[str(part)] = read(part)
        return held[str(part)]

    return read_once


def pass_on(source: epath.Path, folder: epath.Path) -> dict[str, object]:
    """Makes the folder's tokenizer the source's; returns the special token ids of its config.json that are there."""
    for name in TOKENIZER_FILES if source != folder else ():
        if (source / name).exists():
            (folder / name).write_bytes((source / name).read_bytes())
        else:
            (folder / name).unlink(missing_ok=True)
    fields = json.loads((source / CONFIG_FILE).read_text()) if (source / CONFIG_FILE).exists() else {}
    return {name: fields[name] for name in TOKEN_IDS if name in fields}
