"""A model's tokenizer and chat template, read from its folder."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from maxrl_jax.tasks.mathematics import chat
from maxrl_jax.tasks.mathematics.errors import InputError


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
    def load(cls, folder: str) -> "Tokenizer":
        """Reads tokenizer.json, tokenizer_config.json, the chat template, and generation_config.json if it is there.

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
        try:
            tokens = tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises a bare Exception
            raise InputError(
                str(file), f"no tokenizer ({error})", "a tokenizer.json of the tokenizers library"
            ) from None
        settings = _read_json(path / "tokenizer_config.json")
        eos = _end_tokens(path, tokens, settings)
        pad = _token_id(tokens, settings.get("pad_token"))
        return cls(tokens, chat.load(path, settings), eos, eos[0] if pad is None else pad)

    def encode_prompt(self, text: str) -> list[int]:
        """The tokens of a user's turn in the chat template, which writes the special tokens itself."""
        return self.tokens.encode(self.render(text), add_special_tokens=False).ids

    def decode_answer(self, answer: Sequence[int]) -> str:
        """The text up to the first end of text, without special tokens."""
        return self.tokens.decode(list(answer[: self.end(answer)]), skip_special_tokens=True)

    def end(self, answer: Sequence[int]) -> int:
        """The place of the first end of text, the answer's length if it has none."""
        return next((place for place, token in enumerate(answer) if token in self.eos), len(answer))


def _read_json(file: pathlib.Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(str(file.parent), f"no {file.name}", "the folder of a model with its tokenizer") from None
    except ValueError as error:
        raise InputError(str(file), f"broken JSON ({error})", "a JSON object") from None


def _end_tokens(folder: pathlib.Path, tokens: Any, settings: dict[str, Any]) -> tuple[int, ...]:
    """The tokenizer's end of text and those that the model is generated with."""
    own = _token_id(tokens, settings.get("eos_token"))
    file = folder / "generation_config.json"
    listed = _read_json(file).get("eos_token_id") if file.is_file() else None
    ends = [own, *(listed if isinstance(listed, list) else [listed])]
    ends = tuple(dict.fromkeys(end for end in ends if end is not None))
    if not ends:
        raise InputError(
            str(folder),
            "no end of text",
            "eos_token in tokenizer_config.json or eos_token_id in generation_config.json",
        )
    return ends


def _token_id(tokens: Any, token: Any) -> int | None:
    """The id of a special token, written down as text or as an object."""
    text = token["content"] if isinstance(token, dict) else token
    return None if text is None else tokens.token_to_id(text)
