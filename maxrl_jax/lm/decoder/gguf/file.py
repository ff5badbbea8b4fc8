"""A GGUF file's metadata and tensors; whatever is wrong with it is one line that names the file."""

import os
import pathlib
from typing import Any

import numpy as np

TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K")


class File:
    """An opened GGUF file.

    Attributes:
        path: of the file.
        fields: its metadata, as Python values, by key.
    """

    def __init__(self, path: str | os.PathLike[str]):
        """Opens the file and reads its metadata.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not a whole GGUF file, or a tensor of a type that is not among `TYPES`.
            ImportError: the package gguf is not installed.
        """
        try:
            import gguf
        except ImportError:
            raise ImportError("gguf is not installed: pip install 'maxrl-jax[smollm]'") from None

        self.path = pathlib.Path(path).expanduser()
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path}: no such file")
        try:
            reader = gguf.GGUFReader(self.path)
            self.fields: dict[str, Any] = {key: field.contents() for key, field in reader.fields.items()}
        except Exception as error:  # the package raises what NumPy raises on a file that ends too soon
            reason = " ".join(str(error).split())
            raise ValueError(f"{self.path}: not a whole GGUF file ({type(error).__name__}: {reason})") from None
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        for name, tensor in self._tensors.items():
            if tensor.tensor_type.name not in TYPES:
                got = tensor.tensor_type.name
                raise ValueError(f"{self.path}: tensor {name}: got type {got}, allowed: {', '.join(TYPES)}")

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def names(self) -> set[str]:
        """The names of all tensors."""
        return set(self._tensors)

    def read(self, name: str) -> np.ndarray:
        """A tensor in float32, of a linear map [outputs, inputs]; ValueError where there is none of this name."""
        from gguf import quants

        if name not in self._tensors:
            raise ValueError(f"{self.path}: tensor {name} is missing")
        tensor = self._tensors[name]
        return quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)

    def field(self, key: str, allowed: str) -> Any:
        """A value of the metadata; ValueError where the file has none."""
        if key not in self.fields:
            raise ValueError(f"{self.path}: {key}: missing, allowed: {allowed}")
        return self.fields[key]
