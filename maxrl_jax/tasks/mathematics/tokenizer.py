"""A model's tokenizer and chat template, read from its folder as transformers reads them."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from maxrl_jax.errors import InputError, foreign
from maxrl_jax.tasks.mathematics import chat


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """Text to tokens and back.

    Attributes:
        tokens: the tokenizer of the folder's tokenizer.json.
        render: a user's turn as the chat template writes it.
        eos: tokens that end an answer, the tokenizer's own first.
        pad: token written beside texts that are shorter than their row.
    """

    tokens: Any
    render: Callable[[str], str]
    eos: tuple[int, ...]
    pad: int

    @classmethod
    def load(cls, folder: str, arguments: Mapping[str, Any] | None = None, system: str = "") -> "Tokenizer":
        """Reads tokenizer.json, tokenizer_config.json, the chat template, and the files that name special tokens.

        Args:
            folder: of the model.
            arguments: of the chat template, see `chat.load`.
            system: text of a system's turn before each prompt.

        Raises:
            InputError: a file is missing or cannot be read, no chat template, no end of text.
            ImportError: the extra ``llm`` is not installed.
        """
        try:
            import tokenizers
        except ImportError:
            raise ImportError("tokenizers is not installed: pip install 'maxrl-jax[llm]'") from None

        path = pathlib.Path(folder)
        if not path.is_dir():
            raise InputError(folder, "no such folder", "the folder of a model")
        file = path / "tokenizer.json"
        if not file.is_file():
            raise InputError(folder, "no tokenizer.json", "the folder of a model with its tokenizer")
        with foreign(str(file), "no tokenizer", "a tokenizer.json of the tokenizers library"):
            tokens = tokenizers.Tokenizer.from_file(str(file))
        # The file may ask for either, which suits training on text but cuts or pads prompts.
        tokens.no_truncation()
        tokens.no_padding()
        settings = _read_json(path / "tokenizer_config.json")
        _add_tokens(path, tokens, settings)
        special = _special_tokens(path, settings)
        eos = _end_tokens(path, tokens, special)
        pad = tokens.token_to_id(special["pad_token"]) if "pad_token" in special else None
        render = chat.load(path, special, settings, arguments or {}, system)
        return cls(tokens, render, eos, eos[0] if pad is None else pad)

    def encode_prompt(self, text: str) -> list[int]:
        """The tokens of a user's turn in the chat template, which writes the special tokens itself."""
        return self.tokens.encode(self.render(text), add_special_tokens=False).ids

    def encode_answer(self, text: str) -> list[int]:
        """The tokens of an answer, without its end of text."""
        return self.tokens.encode(text, add_special_tokens=False).ids

    def decode_answer(self, answer: Sequence[int]) -> str:
        """The text up to the first end of text, without special tokens."""
        return self.tokens.decode(list(answer[: self.end(answer)]), skip_special_tokens=True)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text with its special tokens, but without the end of text that closes an answer."""
        closed = len(tokens) - 1 if tokens and tokens[-1] in self.eos else len(tokens)
        return self.tokens.decode(list(tokens[:closed]), skip_special_tokens=False)

    def end(self, answer: Sequence[int]) -> int:
        """The place of the first end of text, the answer's length if it has none."""
        return next((place for place, token in enumerate(answer) if token in self.eos), len(answer))


def _read_json(file: pathlib.Path, *, required: bool = True) -> dict[str, Any]:
    if not file.is_file():
        if not required:
            return {}
        raise InputError(str(file.parent), f"no {file.name}", "the folder of a model with its tokenizer")
    with foreign(str(file), "broken JSON", "a JSON object"):
        value = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise InputError(str(file), f"a {type(value).__name__}", "a JSON object")
    return value


def _add_tokens(folder: pathlib.Path, tokens: Any, settings: Mapping[str, Any]) -> None:
    """Adds the tokens that tokenizer_config.json or added_tokens.json lists and tokenizer.json lacks."""
    from tokenizers import AddedToken

    with foreign(str(folder), "added tokens that cannot be read", "objects of tokens by id, or of ids by token"):
        listed = settings.get("added_tokens_decoder") or {
            str(number): {"content": token}
            for token, number in _read_json(folder / "added_tokens.json", required=False).items()
        }
        for _, entry in sorted(listed.items(), key=lambda entry: int(entry[0])):
            if tokens.token_to_id(entry["content"]) is None:
                tokens.add_tokens([AddedToken(**{key: value for key, value in entry.items() if key != "__type"})])


def _special_tokens(folder: pathlib.Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """Texts of the special tokens by name; null ones are absent.

    Older folders, without added_tokens_decoder, name them in special_tokens_map.json, which goes first.
    """
    listed = dict(settings)
    if "added_tokens_decoder" not in settings:
        listed |= _read_json(folder / "special_tokens_map.json", required=False)
    further = listed.get("extra_special_tokens")
    listed |= further if isinstance(further, dict) else {}
    special = {}
    for name, token in listed.items():
        text = token.get("content") if isinstance(token, dict) else token
        if name.endswith("_token") and text is not None and not isinstance(text, bool):  # add_bos_token is none
            if not isinstance(text, str):
                raise InputError(str(folder), f"{name} = {json.dumps(token)}", "a token's text")
            special[name] = text
    return special


def _end_tokens(folder: pathlib.Path, tokens: Any, special: Mapping[str, str]) -> tuple[int, ...]:
    """The tokenizer's end of text and those that the model is generated with."""
    ends = [tokens.token_to_id(special["eos_token"])] if "eos_token" in special else []
    for name in ("generation_config.json", "config.json"):
        listed = _read_json(folder / name, required=False).get("eos_token_id")
        listed = listed if isinstance(listed, list) else [listed] if listed is not None else []
        for number in listed:
            if type(number) is not int or number < 0:
                raise InputError(
                    str(folder / name), f"eos_token_id {json.dumps(number)}", "a token's number, or a list"
                )
        ends += listed
    ends = tuple(dict.fromkeys(end for end in ends if end is not None))
    if not ends:
        allowed = "eos_token in tokenizer_config.json or special_tokens_map.json, or eos_token_id in"
        raise InputError(str(folder), "no end of text", f"{allowed} generation_config.json or config.json")
    return ends
