"""Problems as arrays of prompts, padded on the right."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

from maxrl_jax.tasks.mathematics.errors import InputError
from maxrl_jax.tasks.mathematics.records import Record
from maxrl_jax.tasks.mathematics.tokenizer import Tokenizer

BUCKET = 64  # prompts are padded to a multiple of it, so that few lengths are compiled


@dataclasses.dataclass(frozen=True)
class Prompts:
    """The prompts of a data set, on the host.

    Attributes:
        tokens: token ids; beyond a prompt's length the tokenizer's pad.
        lengths: tokens of each prompt.
        golds: the right answer to each.
        dropped: problems left out because their prompt is too long.
    """

    tokens: Int32[np.ndarray, "M S"]
    lengths: Int32[np.ndarray, " M"]
    golds: tuple[str, ...]
    dropped: int

    def __len__(self) -> int:
        return len(self.golds)

    def batch(self, ids: Sequence[int] | np.ndarray) -> tuple[Int32[np.ndarray, "B S"], Int32[np.ndarray, " B"]]:
        """Tokens and lengths of some prompts, cut to the bucket of the longest of them."""
        ids = np.asarray(ids)
        lengths = self.lengths[ids]
        return self.tokens[ids, : bucket(int(lengths.max()), self.tokens.shape[1])], lengths


def make_prompts(records: Sequence[Record], tokenizer: Tokenizer, max_length: int) -> Prompts:
    """Writes problems as tokens; prompts of more than `max_length` tokens are left out and counted.

    Raises:
        ValueError: `max_length` is not positive.
        InputError: no prompt is short enough.
    """
    if max_length < 1:
        raise ValueError(f"max_length: got {max_length}, allowed: a positive integer")
    rows = [tokenizer.encode_prompt(record.prompt) for record in records]
    kept = [place for place, row in enumerate(rows) if len(row) <= max_length]
    if not kept:
        shortest = min(map(len, rows))
        raise InputError("prompt length limit", f"{max_length} tokens", f"at least {shortest}, of the shortest prompt")
    lengths = np.array([len(rows[place]) for place in kept], np.int32)
    tokens = np.full((len(kept), bucket(int(lengths.max()), max_length)), tokenizer.pad, np.int32)
    for row, place in zip(tokens, kept, strict=True):
        row[: len(rows[place])] = rows[place]
    return Prompts(tokens, lengths, tuple(records[place].gold for place in kept), len(rows) - len(kept))


def bucket(length: int, longest: int) -> int:
    """The length that prompts of up to `length` tokens are padded to: a multiple of BUCKET, at most `longest`."""
    return min(-(-length // BUCKET) * BUCKET, longest)
