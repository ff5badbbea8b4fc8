"""A tokenizer's files from a GGUF file's metadata: byte-level BPE alone, which most small models use."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

from maxrl_jax.lm.decoder.gguf.file import File

_CONTROL, _USER_DEFINED = 3, 4  # types of tokens
_CASED = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{%s}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _splits(pattern: str) -> Callable[[Any], list[Any]]:
    def build(tokenizers: Any) -> list[Any]:
        split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
        return [split, tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]

    return build


def _gpt2(tokenizers: Any) -> list[Any]:
    return [tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]


def _digits(tokenizers: Any) -> list[Any]:
    return [tokenizers.pre_tokenizers.Digits(individual_digits=True), *_gpt2(tokenizers)]


PRE_TOKENIZERS = {
    "smollm": _digits,
    "gpt-2": _gpt2,
    "qwen2": _splits(_CASED % "1"),
    "llama-bpe": _splits(_CASED % "1,3"),
}
"""How text is cut before merges apply, by tokenizer.ggml.pre."""


def check(file: File) -> None:
    """Raises ValueError unless the file's tokenizer is one of these."""
    model = file.field("tokenizer.ggml.model", "gpt2")
    if model != "gpt2":
        raise ValueError(
            f"{file.path}: tokenizer.ggml.model: got {model!r}, allowed: 'gpt2' (byte-level BPE), or "
            "--tokenizer-from=FOLDER for another tokenizer"
        )
    pre = file.fields.get("tokenizer.ggml.pre", "gpt-2")
    if pre not in PRE_TOKENIZERS:
        raise ValueError(f"{file.path}: tokenizer.ggml.pre: got {pre!r}, allowed: {', '.join(PRE_TOKENIZERS)}")


def special_ids(file: File) -> dict[str, int]:
    """The ids of config.json: bos_token_id, eos_token_id and pad_token_id, as far as the file has them."""
    names = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}
    found = {ours: file.fields.get(f"tokenizer.ggml.{theirs}_token_id") for ours, theirs in names.items()}
    return {name: int(value) for name, value in found.items() if value is not None}


def write(file: File, folder: pathlib.Path) -> None:
    """Writes tokenizer.json, tokenizer_config.json with the chat template, and generation_config.json."""
    tokens, ids = file.field("tokenizer.ggml.tokens", "the tokens of the vocabulary"), special_ids(file)
    _tokenizer(file, tokens).save(str(folder / "tokenizer.json"))
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": file.fields.get(f"{file.fields['general.architecture']}.context_length"),
        "clean_up_tokenization_spaces": False,
        **{name.removesuffix("_id"): tokens[number] for name, number in ids.items()},
    }
    if "tokenizer.ggml.unknown_token_id" in file.fields:
        settings["unk_token"] = tokens[file.fields["tokenizer.ggml.unknown_token_id"]]
    if "tokenizer.chat_template" in file.fields:
        settings["chat_template"] = file.fields["tokenizer.chat_template"]
    # A chat model may end a turn with another token than a text.
    ends = [ids.get("eos_token_id"), *(file.fields.get(f"tokenizer.ggml.{name}_token_id") for name in ("eot", "eom"))]
    ends = list(dict.fromkeys(int(end) for end in ends if end is not None))
    _write_json(folder / "tokenizer_config.json", settings)
    _write_json(folder / "generation_config.json", ids | {"eos_token_id": ends[0] if len(ends) == 1 else ends})


def _tokenizer(file: File, tokens: list[str]) -> Any:
    """The tokenizer of the tokenizers library."""
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

    pre = file.fields.get("tokenizer.ggml.pre", "gpt-2")
    # A blank stands between the two tokens of a merge; in tokens blanks are written as another letter.
    merges = [tuple(merge.split(" ", 1)) for merge in file.field("tokenizer.ggml.merges", "the merges of BPE")]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    whole = tokenizers.Tokenizer(models.BPE(vocabulary, merges, ignore_merges=pre == "llama-bpe"))
    whole.pre_tokenizer = pre_tokenizers.Sequence(PRE_TOKENIZERS[pre](tokenizers))
    whole.decoder = decoders.ByteLevel()
    if pre == "qwen2":
        whole.normalizer = normalizers.NFC()
    for token, kind in zip(tokens, file.field("tokenizer.ggml.token_type", "types of tokens"), strict=True):
        if kind in (_CONTROL, _USER_DEFINED):
            added = tokenizers.AddedToken(token, special=kind == _CONTROL, normalized=False)
            (whole.add_special_tokens if kind == _CONTROL else whole.add_tokens)([added])
    bos = special_ids(file).get("bos_token_id")
    if file.fields.get("tokenizer.ggml.add_bos_token") and bos is not None:
        whole.post_processor = processors.TemplateProcessing(
            single=f"{tokens[bos]} $A", pair=f"{tokens[bos]} $A $B", special_tokens=[(tokens[bos], bos)]
        )
    return whole


def _write_json(file: pathlib.Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
