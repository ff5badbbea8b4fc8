r"""The words that problems and answers are made of, one token a word, and text to tokens and back.

The language is chosen so that what Math-Verify reads in a text can be read off the tokens. It has words, digits and
one box, no sign or operator, so the only numbers are runs of digits; no word is a unit of measure (Math-Verify
drops those) or joins boxes ("and", "or"). An answer ends when its box closes, so it has one box at most.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int32

PAD, EOS, BOX, END_BOX = 0, 1, 2, 3
DIGIT_0 = 4  # tokens 4 .. 13 are the digits


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


NAMES = _listed("ada ben cal dan eve fay gus hal ida jon kim leo mia ned oli pam quin ray tom uma vic wes yan zoe")
THINGS = _listed(
    "bags balls beads bells bikes birds books boots bowls boxes bricks brooms bulbs cards carts cats chairs clocks "
    "combs crates cups desks dogs dolls drums eggs fans figs flags forks gems gloves hats jars keys kites lamps maps "
    "masks mats mugs nuts oars pans pears pegs pens pins plums pots rings ropes rugs seeds shells socks spoons stamps "
    "stars tents tubs twigs vans"
)
RELATIONS = _listed(
    "over above beyond past under below beneath behind twice double twofold twin half midway split shared"
)
OPERATIONS = ADD, SUBTRACT, DOUBLE, HALVE, SAME = ("plus", "minus", "doubled", "halved", "same")
FILLERS = ("has", "then", "how", "many", "makes", "so")

WORDS = ("<pad>", "<eos>", "\\boxed{", "}", *"0123456789", *FILLERS, *OPERATIONS, *RELATIONS, *NAMES, *THINGS)
SIZE = len(WORDS)  # 128
STOP_TOKENS = (END_BOX, EOS, PAD)  # an answer ends with the first of these

_IDS = {word: token for token, word in enumerate(WORDS)}
_PIECE = re.compile(r"\\boxed\{|\}|\d|[a-z]+|<[a-z]+>|\S")  # the last for what is no word


def encode(text: str) -> list[int]:
    """The tokens of a text; blanks only part words.

    Raises:
        ValueError: a word that is not in the vocabulary.
    """
    pieces = _PIECE.findall(text)
    try:
        return [_IDS[piece] for piece in pieces]
    except KeyError as error:
        raise ValueError(f"word: got {error}, allowed: the {SIZE} words of the vocabulary") from None


def decode(tokens: Iterable[int]) -> str:
    """A text from its tokens: blanks between words, none within a number or a box.

    ``encode(decode(tokens)) == list(tokens)`` for any tokens of the vocabulary.
    """
    text = ""
    before = PAD
    for token in map(int, tokens):
        joined = token == END_BOX or before == BOX or (_is_digit(token) and _is_digit(before))
        text += WORDS[token] if joined or not text else " " + WORDS[token]
        before = token
    return text


def decode_answer(answer: Iterable[int]) -> str:
    """The text of an answer, up to the end of its first box, <eos> or <pad>; what a judge of text reads."""
    kept = []
    for token in map(int, answer):
        if token in (EOS, PAD):
            break
        kept.append(token)
        if token == END_BOX:
            break
    return decode(kept)


def pad(rows: Sequence[Sequence[int]], length: int) -> tuple[Int32[np.ndarray, "M S"], Int32[np.ndarray, " M"]]:
    """Rows of tokens padded on the right, and their lengths.

    Raises:
        ValueError: a row that is longer than `length`.
    """
    lengths = np.array([len(row) for row in rows], np.int32)
    if lengths.size and lengths.max() > length:
        raise ValueError(f"length: got {length}, allowed: at least {lengths.max()}, of the longest row")
    tokens = np.full((len(rows), length), PAD, np.int32)
    for row, words in zip(tokens, rows, strict=True):
        row[: len(words)] = words
    return tokens, lengths


def _is_digit(token: int) -> bool:
    return DIGIT_0 <= token < DIGIT_0 + 10
