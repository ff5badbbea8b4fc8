"""A GGUF file as a Hugging Face folder: ``python -m experiments.lm.convert FILE.gguf --out=DIR``.

Architectures: llama (SmolLM2 among them), qwen2, qwen3, gemma2. Types of tensors: F32, F16, BF16, Q8_0, Q4_0, Q4_1,
Q4_K, Q6_K. The folder holds config.json, model.safetensors (bfloat16), tokenizer.json, the chat template and the
generation config: --config.model.init_from=DIR trains it, and transformers opens it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from maxrl_jax.lm.decoder import gguf
from maxrl_jax.runs.command_line import Parser, exit_with, path, say_error


def main(arguments: Sequence[str]) -> int:
    """Converts the file of the command line; 2 after one line for whatever is wrong with it."""
    flags = Parser("python -m experiments.lm.convert", __doc__)
    flags.add_argument("file", type=path, metavar="FILE.gguf", help="the model")
    flags.add_argument("--out", type=path, required=True, metavar="DIR", help="folder to write; must not exist")
    flags.add_argument("--tokenizer-from", type=path, metavar="DIR", help="folder with another tokenizer's files")
    options = flags.read(arguments)
    try:
        gguf.convert(options.file, options.out, tokenizer_from=options.tokenizer_from)
    except (OSError, ValueError, ImportError) as error:
        return say_error(error, 2)
    print(options.out, file=sys.stderr)
    return 0


if __name__ == "__main__":
    exit_with(main)
