"""Problems as arrays of prompts, padded on the right."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32

from maxrl_jax.errors import InputError
from maxrl_jax.tasks.mathematics.records import Record
from maxrl_jax.tasks.mathematics.tokenizer import Tokenizer

LENGTH_LIMIT = "prompt length limit"
BUCKET = 64  # a batch is padded to a multiple of it, so that few lengths are compiled, or to the longest prompt of all
MULTIPLE = 8  # which is padded to a multiple of this


@dataclasses.dataclass(frozen=True)
class Prompts:
    """The prompts of a data set, on the host.

    Attributes:
        tokens: token ids; beyond a prompt's length the tokenizer's pad.
        lengths: tokens of each prompt.
        golds: the right answer to each.
        dropped: problems left out because their prompt is too long.
        solutions: tokens that SFT imitates, with their end of text; () where there are none, or too many.
    """

    tokens: Int32[np.ndarray, "M S"]
    lengths: Int32[np.ndarray, " M"]
    golds: tuple[Any, ...]
    dropped: int
    solutions: tuple[tuple[int, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.golds)

    def held_in(self, other: "Prompts") -> Bool[np.ndarray, " M"]:
        """Which of these prompts, token for token, the other ones hold too."""
        there = {row[:length].tobytes() for row, length in zip(other.tokens, other.lengths, strict=True)}
        mine = zip(self.tokens, self.lengths, strict=True)
        return np.array([row[:length].tobytes() in there for row, length in mine])

    def at(self, ids: np.ndarray) -> "Prompts":
        """The prompts with these numbers, or where a mask says so."""
        places = np.arange(len(self))[ids]
        golds, solutions = (tuple(given[i] for i in places) if given else () for given in (self.golds, self.solutions))
        return dataclasses.replace(
            self, tokens=self.tokens[ids], lengths=self.lengths[ids], golds=golds, solutions=solutions
        )

    def batch(self, ids: Sequence[int] | np.ndarray) -> tuple[Int32[np.ndarray, "B S"], Int32[np.ndarray, " B"]]:
        """Tokens and lengths of some prompts, cut to the bucket of the longest of them."""
        ids = np.asarray(ids)
        lengths = self.lengths[ids]
        return self.tokens[ids, : bucket(int(lengths.max()), self.tokens.shape[1])], lengths


def make_prompts(
    records: Sequence[Record],
    tokenizer: Tokenizer,
    max_length: int,
    vocabulary_size: int | None = None,
    max_solution: int = 0,
) -> Prompts:
    """Writes problems as tokens; prompts of more than `max_length` tokens are left out and counted.

    Args:
        records: the problems.
        tokenizer: of the model.
        max_length: in tokens.
        vocabulary_size: of the model, whose embeddings hold every token of the prompts; None: not known.
        max_solution: tokens of the longest solution that is kept.

    Raises:
        ValueError: `max_length` is not positive.
        InputError: no prompt is short enough, the chat template refuses one, or the model lacks a token.
    """
    if max_length < 1:
        raise ValueError(f"max_length: got {max_length}, allowed: a positive integer")
    rows = [tokenizer.encode_prompt(record.prompt) for record in records]
    if vocabulary_size is not None:
        _check_tokens(records, rows, tokenizer, vocabulary_size)
    kept = [place for place, row in enumerate(rows) if len(row) <= max_length]
    if not kept:
        shortest = min(map(len, rows))
        raise InputError(LENGTH_LIMIT, f"{max_length} tokens", f"at least {shortest}, of the shortest prompt")
    lengths = np.array([len(rows[place]) for place in kept], np.int32)
    width = min(-(-int(lengths.max()) // MULTIPLE) * MULTIPLE, max_length)
    tokens = np.full((len(kept), width), tokenizer.pad, np.int32)
    for row, place in zip(tokens, kept, strict=True):
        row[: len(rows[place])] = rows[place]
    golds = tuple(records[place].gold for place in kept)
    solutions = tuple(_solution(records[place].solution, tokenizer, max_solution) for place in kept)
    return Prompts(tokens, lengths, golds, len(rows) - len(kept), solutions)


def _solution(text: str, tokenizer: Tokenizer, longest: int) -> tuple[int, ...]:
    """The tokens of a solution and an end of text; () where there is none, or a longer one."""
    tokens = (*tokenizer.encode_answer(text), tokenizer.eos[0]) if text else ()
    return tokens if len(tokens) <= longest else ()


def _check_tokens(
    records: Sequence[Record], rows: Sequence[Sequence[int]], tokenizer: Tokenizer, vocabulary_size: int
) -> None:
    places = [
        (f"the prompt of {record.place or repr(record.prompt)}", row) for record, row in zip(records, rows, strict=True)
    ]
    for place, tokens in (("the pad token", [tokenizer.pad]), ("the ends of text", tokenizer.eos), *places):
        largest = max(tokens, default=0)
        if largest >= vocabulary_size:
            got = f"{tokenizer.tokens.id_to_token(largest)!r}, token {largest}"
            raise InputError(place, got, f"tokens below {vocabulary_size}, the model's vocab_size")


def bucket(length: int, longest: int) -> int:
    """The length that prompts of up to `length` tokens are padded to: a multiple of BUCKET, at most `longest`."""
    return min(-(-length // BUCKET) * BUCKET, longest)
