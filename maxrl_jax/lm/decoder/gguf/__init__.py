"""GGUF files (llama.cpp's format) of our families, turned into Hugging Face folders.

    gguf.convert("model.Q4_1.gguf", "models/mine")  # config.json, model.safetensors (bfloat16), the tokenizer's files

Needs the extra ``smollm`` (the packages gguf and tokenizers), imported where they are used.
"""

from maxrl_jax.lm.decoder.gguf.convert import convert

__all__ = ["convert"]
