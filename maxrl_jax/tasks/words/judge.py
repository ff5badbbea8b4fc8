"""Rewards on the device: the number an answer gives, read off its tokens as Math-Verify reads it off its text.

An answer ends with its first ``}``, <eos> or <pad>. The number is

- what stands between the last box opened and the ``}`` that ends the answer, if that is a run of digits; with
  anything else between them the answer gives no number;
- where no box is closed, or nothing is in it, the last run of digits that does not stand right after an open box
  (a box is not required of an answer).

It is right when it equals the gold. Rewards are binary.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32, Int, Int32

from maxrl_jax.tasks.words.vocabulary import BOX, DIGIT_0, END_BOX, STOP_TOKENS

REASONS = ("right", "wrong", "not a number", "no number")
RIGHT, WRONG, NOT_A_NUMBER, NO_NUMBER = range(len(REASONS))

_PLACES = 8  # decimal places that are summed; a number with more is above every gold
_TOO_LARGE = 10**_PLACES


class Verdict(NamedTuple):
    """The outcome of each answer.

    Attributes:
        reason: index into ``REASONS``: right; another number; a box with something else in it; nothing to read.
        number: the number given, at most 10^8; -1 where there is none.
    """

    reason: Int32[Array, "P N"]
    number: Int32[Array, "P N"]


def verify(golds: Int[Array, " P"], answers: Int[Array, "P N T"]) -> Float32[Array, "P N"]:
    """Rewards in {0, 1} of N answers to each of P problems.

    Args:
        golds: the right numbers, 0 .. 10^8 - 1.
        answers: tokens after the prompt; what follows the end of an answer is not looked at.

    Raises:
        ValueError: for shapes that do not fit.
    """
    return (judge(golds, answers).reason == RIGHT).astype(jnp.float32)


def judge(golds: Int[Array, " P"], answers: Int[Array, "P N T"]) -> Verdict:
    """The number each answer gives, and whether it is the gold.

    Args, Raises: as ``verify``.
    """
    if answers.ndim != 3 or golds.shape != answers.shape[:1]:
        raise ValueError(f"golds, answers: got shapes {golds.shape}, {answers.shape}, allowed: [P], [P, N, T]")
    if not jnp.issubdtype(answers.dtype, jnp.integer):
        raise ValueError(f"answers: got dtype {answers.dtype}, allowed: an integer")
    places = jnp.arange(answers.shape[-1])
    end = _first(jnp.isin(answers, jnp.array(STOP_TOKENS)))
    kept = places < end[..., None]
    is_digit = kept & (answers >= DIGIT_0) & (answers < DIGIT_0 + 10)
    opens = kept & (answers == BOX)

    box = _last(opens)
    closed = jnp.any((answers == END_BOX) & (places == end[..., None]), axis=-1) & (box >= 0)
    boxed = closed & (end > box + 1)
    only_digits = jnp.all(is_digit | (places <= box[..., None]) | ~kept, axis=-1)

    before = jnp.pad(answers, ((0, 0), (0, 0), (1, 0)), constant_values=BOX + 1)[..., :-1]
    digit_before = (before >= DIGIT_0) & (before < DIGIT_0 + 10)
    start = _last(is_digit & ~digit_before & (before != BOX))
    stop = _first(~is_digit & (places > start[..., None]))

    number = jnp.where(boxed, _number(answers, box + 1, end), jnp.where(start >= 0, _number(answers, start, stop), -1))
    number = jnp.where(boxed & ~only_digits, -1, number)
    reason = jnp.select(
        [number == golds[:, None], number >= 0, boxed],
        [jnp.int32(code) for code in (RIGHT, WRONG, NOT_A_NUMBER)],
        jnp.int32(NO_NUMBER),
    )
    return Verdict(reason, number)


def _number(answers: Int[Array, "P N T"], start: Int32[Array, "P N"], stop: Int32[Array, "P N"]) -> Int32[Array, "P N"]:
    """The value of the digits at start .. stop - 1, at most 10^8."""
    power = stop[..., None] - 1 - jnp.arange(answers.shape[-1])
    digits = jnp.where((power >= 0) & (jnp.arange(answers.shape[-1]) >= start[..., None]), answers - DIGIT_0, 0)
    small = jnp.sum(jnp.where(power < _PLACES, digits * 10 ** jnp.clip(power, 0, _PLACES - 1), 0), axis=-1)
    return jnp.where(jnp.any((power >= _PLACES) & (digits != 0), axis=-1), _TOO_LARGE, small).astype(jnp.int32)


def _first(found: Bool[Array, "P N T"]) -> Int32[Array, "P N"]:
    """Place of the first True; T where there is none."""
    places = jnp.arange(found.shape[-1], dtype=jnp.int32)
    return jnp.min(jnp.where(found, places, found.shape[-1]), axis=-1, initial=found.shape[-1])


def _last(found: Bool[Array, "P N T"]) -> Int32[Array, "P N"]:
    """Place of the last True; -1 where there is none."""
    places = jnp.arange(found.shape[-1], dtype=jnp.int32)
    return jnp.max(jnp.where(found, places, -1), axis=-1, initial=-1)
