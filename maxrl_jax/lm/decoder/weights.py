"""The safetensors files of a model folder: found, checked by their headers, read part by part, and written.

Whatever is wrong with them is one line that names the file, and nothing is unpickled.
"""

import contextlib
import json
import math
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from etils import epath
from safetensors import SafetensorError, safe_open

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_LFS_POINTER = b"version https://git-lfs"


class Weights:
    """The tensors of a folder, by their names in the files."""

    def __init__(self, folder: pathlib.Path):
        """Opens every file for its header.

        Raises:
            FileNotFoundError: no weights, or a file that the index names is not there.
            ValueError: a file is not a whole safetensors file, or a pickled one stands in its place.
        """
        self.folder = folder
        self._files = {}  # tensor -> opened file
        for path, wanted in _listed(folder).items():
            opened = _opened(path)
            present = set(opened.keys())
            missing = sorted((wanted or present) - present)
            if missing:
                raise ValueError(f"{path}: tensor {missing[0]} is missing, {INDEX_FILE} says it is in this file")
            self._files |= dict.fromkeys(wanted or present, (path, opened))

    def names(self) -> set[str]:
        """The names of all tensors."""
        return set(self._files)

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raises ValueError unless there is a float tensor of this name and shape."""
        if name not in self._files:
            raise ValueError(f"{self.folder}: tensor {name} is missing")
        path, opened = self._files[name]
        header = opened.get_slice(name)
        if header.get_dtype() not in FLOATS:
            raise ValueError(f"{path}: tensor {name} has type {header.get_dtype()}, allowed: {', '.join(FLOATS)}")
        if tuple(header.get_shape()) != shape:
            raise ValueError(
                f"{path}: tensor {name} has shape {list(header.get_shape())}, config.json says {list(shape)}"
            )

    def dtype(self, name: str) -> np.dtype:
        """The type in which the tensor is stored."""
        return self.read(name, (slice(0, 0),)).dtype

    def read(self, name: str, part: tuple[slice, ...]) -> np.ndarray:
        """A part of the tensor in the type it is stored in; nothing else of the file is read."""
        return self._files[name][1].get_slice(name)[part]


def write(
    path: epath.Path | None, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype, tensors: Iterable[np.ndarray]
) -> None:
    """Writes a safetensors file, of which one tensor at a time is in memory.

    Args:
        path: the file; None goes through the tensors and writes nothing.
        shapes: of the tensors, by name.
        dtype: of all of them, a float type.
        tensors: in the order of the shapes.
    """
    code = next(code for code, name in FLOATS.items() if name == dtype.name)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": code, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") if path else contextlib.nullcontext() as file:
        if file:
            file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors:
            if file:
                file.write(np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data)


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """The object in a JSON file; FileNotFoundError or ValueError, one line, for anything else."""
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent}: no {path.name}")
    content = path.read_bytes()
    _refuse_pointer(path, content)
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:  # of JSON or of the encoding
        raise ValueError(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: got a JSON {type(value).__name__}, allowed: an object")
    return value


def _listed(folder: pathlib.Path) -> dict[pathlib.Path, set[str] | None]:
    """The files of the folder and the tensors wanted of each; None: all it has. A single file goes before an index."""
    if (folder / SINGLE_FILE).is_file():
        return {folder / SINGLE_FILE: None}
    if (folder / INDEX_FILE).is_file():
        index = folder / INDEX_FILE
        places = read_json(index).get("weight_map")
        if not isinstance(places, dict) or not all(_is_plain(file) for file in places.values()):
            raise ValueError(f"{index}: weight_map: allowed: an object of tensor names and files in this folder")
        for file in sorted(set(places.values())):
            if not (folder / file).is_file():
                raise FileNotFoundError(f"{folder}: no {file}, which {INDEX_FILE} names")
        return {folder / file: {name for name in places if places[name] == file} for file in set(places.values())}
    pickled = sorted(path.name for path in folder.glob("*.bin"))
    if pickled:
        raise ValueError(f"{folder / pickled[0]}: got a pickled file, allowed: {SINGLE_FILE} (nothing is unpickled)")
    raise FileNotFoundError(f"{folder}: neither {SINGLE_FILE} nor {INDEX_FILE}")


def _is_plain(file: Any) -> bool:
    return isinstance(file, str) and file.endswith(".safetensors") and pathlib.PurePath(file).name == file


def _opened(path: pathlib.Path) -> Any:
    with path.open("rb") as file:
        _refuse_pointer(path, file.read(64))
    try:
        return safe_open(path, framework="numpy")
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: not a whole safetensors file ({reason})") from None


def _refuse_pointer(path: pathlib.Path, content: bytes) -> None:
    if content.startswith(_LFS_POINTER):
        raise ValueError(f"{path}: got a git-lfs pointer, allowed: the file itself (git lfs pull fetches it)")
