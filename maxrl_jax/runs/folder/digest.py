"""Names, checksums and hashes of the leaves of a pytree, and digests of files."""

import functools
import hashlib
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from maxrl_jax.devices import sharding

_STRIDES = (2, 6, 10, 18, 30, 42)  # even, so that every weight below is odd and no element is lost mod 2^32

_WHOLE = 64 << 20  # a larger file is known by its size and samples of it
_SAMPLES, _SAMPLE = 256, 64 << 10
_MODEL_FILES = (".safetensors", ".json", ".jinja", ".txt", ".model")


def files(path: str | os.PathLike) -> dict[str, str]:
    """Digests that tell whether a file, or a model in Hugging Face's format, is still the one it was.

    Args:
        path: a file, or the folder of a model: config, weights, tokenizer and template; its subfolders do not count.

    Returns:
        ``{file name: 16 hexadecimal digits}``, by name; {} where nothing is there.
    """
    given = epath.Path(path)
    if not given.is_dir():
        return {given.name: file(given)} if given.exists() else {}
    own = sorted(entry for entry in given.iterdir() if entry.suffix in _MODEL_FILES and not entry.is_dir())
    return {entry.name: file(entry) for entry in own}


def file(path: str | os.PathLike) -> str:
    """The start of a SHA-256 over a file's size and content.

    Of a file of more than 64 MiB 256 pieces of 64 KiB are read, the first among them, which of a safetensors file
    holds the header: training changes every weight, so no piece stays the same.
    """
    stat = epath.Path(path).stat()
    return _file(str(path), stat.length, stat.mtime)


@functools.lru_cache(1024)
def _file(path: str, size: int, modified: float) -> str:
    """As `file`; read again once the file has another size or time."""
    digest = hashlib.sha256(f"{size}\n".encode())
    sampled = size > _WHOLE
    with epath.Path(path).open("rb") as content:
        for number in range(_SAMPLES if sampled else -(-size // (1 << 20))):
            if sampled:
                content.seek(number * (size - _SAMPLE) // (_SAMPLES - 1))
            digest.update(content.read(_SAMPLE if sampled else 1 << 20))
    return digest.hexdigest()[:16]


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves of a pytree by dotted path, in the tree's order; a bare leaf is called "leaf"."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") or "leaf" for path, _ in flat]
    if len(set(names)) != len(names):
        raise ValueError(f"two leaves of the state share a name: {sorted(n for n in names if names.count(n) > 1)}")
    return dict(zip(names, (leaf for _, leaf in flat), strict=True))


def params_sha256(params: Any) -> str:
    """SHA-256 over the leaves in the order of their names: name, dtype, shape, bytes (little endian).

    Args:
        params: a pytree of arrays; sharded ones are gathered.

    Returns:
        64 hexadecimal digits. Equal if and only if every leaf is bitwise equal, whatever the devices.
    """
    digest = hashlib.sha256()
    for name, leaf in sorted(named_leaves(params).items()):
        array = sharding.to_host(raw(leaf))
        digest.update(f"{name}:{array.dtype.name}:{array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def raw(leaf: Any) -> Any:
    """A typed key array as its uint32 words; anything else unchanged."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.key_data(leaf)
    return leaf


@jax.jit
def device_checksums(leaves: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Position-weighted sums of the leaves' bits, and whether each leaf is finite; computed where they live.

    Sums of integers mod 2^32 do not depend on their order, so a checksum is the same however a leaf is sharded.

    Returns:
        (uint32 [len(leaves)], bool [len(leaves)]).
    """
    sums = [jnp.sum(bits * _weights(bits.shape), dtype=jnp.uint32) for bits in map(_bits, leaves)]
    finite = [
        jnp.all(jnp.isfinite(leaf)) if jnp.issubdtype(leaf.dtype, jnp.inexact) else jnp.array(True) for leaf in leaves
    ]
    return jnp.stack(sums), jnp.stack(finite)


def _bits(leaf: jax.Array) -> jax.Array:
    if leaf.dtype == jnp.bool_:
        return leaf.astype(jnp.uint32)
    if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
        leaf = jnp.stack([leaf.real, leaf.imag], axis=-1)
    word = {1: jnp.uint8, 2: jnp.uint16}.get(leaf.dtype.itemsize, jnp.uint32)
    return jax.lax.bitcast_convert_type(leaf, word).astype(jnp.uint32)


def _weights(shape: tuple[int, ...]) -> jax.Array:
    """Odd uint32 weights that differ from place to place: 1 + sum_d stride_d index_d."""
    weights = jnp.ones((), jnp.uint32)
    for axis, size in enumerate(shape):
        index = jnp.arange(size, dtype=jnp.uint32) * jnp.uint32(_STRIDES[axis % len(_STRIDES)])
        weights = weights + index.reshape([-1 if d == axis else 1 for d in range(len(shape))])
    return weights


def describe(leaves: Mapping[str, Any]) -> dict[str, list]:
    """``{name: [shape, dtype]}``, JSON values, of named leaves."""
    return {name: [list(np.shape(leaf)), str(leaf.dtype)] for name, leaf in leaves.items()}
