"""From one GGUF file to a Hugging Face folder, whole or not at all."""

import json
import os
import pathlib
import shutil

import ml_dtypes
from etils import epath
from safetensors.numpy import save_file

from maxrl_jax.lm.decoder import families, hf
from maxrl_jax.lm.decoder.gguf import layout, tokens
from maxrl_jax.lm.decoder.gguf.file import File
from maxrl_jax.lm.decoder.weights import SINGLE_FILE


def convert(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    tokenizer_from: str | os.PathLike[str] | None = None,
) -> None:
    """Writes the model of a GGUF file as bfloat16 safetensors with its tokenizer.

    All weights are in memory at once, as bfloat16.

    Args:
        path: the GGUF file, of `layout`'s architectures and `file.TYPES`.
        folder: made; it must not exist, or be empty.
        tokenizer_from: folder whose tokenizer files are taken in place of the metadata's.

    Raises:
        FileNotFoundError: no such file.
        FileExistsError: the folder holds something.
        ValueError: the file is cut, or holds what the decoder or the tokenizer does not know; one line.
        ImportError: a package is not installed.
    """
    folder = pathlib.Path(folder).expanduser()
    if (folder.is_dir() and any(folder.iterdir())) or folder.is_file():
        raise FileExistsError(f"{folder}: exists already")
    file = File(path)
    fields = layout.read_config(file)
    if tokenizer_from is None:
        tokens.check(file)
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        weights = layout.tensors(file, families.read(fields))
        save_file(
            {name: value.astype(ml_dtypes.bfloat16) for name, value in weights.items()},
            part / SINGLE_FILE,
            metadata={"format": "pt"},
        )
        if tokenizer_from is None:
            tokens.write(file, part)
            fields |= tokens.special_ids(file)
        else:
            fields |= hf.pass_on(epath.Path(tokenizer_from), epath.Path(part))
        fields |= {"dtype": "bfloat16", "torch_dtype": "bfloat16"}
        (part / hf.CONFIG_FILE).write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n")
        hf.check_hf(part)
        if folder.is_dir():
            folder.rmdir()
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
