"""Problems and demonstrations as arrays, padded on the right to lengths that fit every one there is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from maxrl_jax.tasks.words import problems, teacher, vocabulary
from maxrl_jax.tasks.words.problems import Problem


def prompt_length(kind: str = "") -> int:
    """Tokens of the longest question: ada has 12 books; then ben has 13 over ada, a step; how many has ben."""
    return 5 + 7 * max(problems.KINDS[kind][0]) + 4


def answer_length(kind: str = "") -> int:
    r"""Tokens of the longest right answer: ada 12; ben plus 13 makes 15, a step; so \boxed{15}."""
    return 3 + 7 * max(problems.KINDS[kind][0]) + 5


PROMPT_LENGTH, ANSWER_LENGTH = prompt_length(), answer_length()


class Prompts(NamedTuple):
    """Questions with their answers.

    Attributes:
        tokens: of each question, then <pad>.
        lengths: tokens of each question.
        golds: the right numbers.
    """

    tokens: Int32[np.ndarray, "M S"]
    lengths: Int32[np.ndarray, " M"]
    golds: Int32[np.ndarray, " M"]


def prompts(chosen: Sequence[Problem], kind: str = "") -> Prompts:
    """The questions as arrays, S = prompt_length(kind)."""
    tokens, lengths = vocabulary.pad([vocabulary.encode(problem.text) for problem in chosen], prompt_length(kind))
    return Prompts(tokens, lengths, np.array([problem.answer for problem in chosen], np.int32))


def answers(texts: Sequence[str], kind: str = "") -> tuple[Int32[np.ndarray, "M T"], Int32[np.ndarray, " M"]]:
    """Answers as arrays, T = answer_length(kind), and their lengths; the ``}`` that ends one is its last token."""
    return vocabulary.pad([vocabulary.encode(text) for text in texts], answer_length(kind))


def training_set(seed: int, num_problems: int = 256, kind: str = "") -> Prompts:
    """The fixed training set: problems of different contents, none of them held out; a function of the arguments."""
    return prompts(problems.distinct(_rng(seed, 0), num_problems, held_out=False, kind=kind), kind)


def held_out_set(seed: int, num_problems: int, kind: str = "") -> Prompts:
    """Problems of different contents that no training set or demonstration has."""
    return prompts(problems.distinct(_rng(seed, 1), num_problems, held_out=True, kind=kind), kind)


def solutions(seed: int, num_problems: int, kind: str = "") -> Int32[np.ndarray, "M T"]:
    """The right chains of the problems of `held_out_set`."""
    chosen = problems.distinct(_rng(seed, 1), num_problems, held_out=True, kind=kind)
    return answers([teacher.solution(problem) for problem in chosen], kind)[0]


def demonstrations(seed: int, num_problems: int) -> tuple[Prompts, Int32[np.ndarray, "M T"], Int32[np.ndarray, " M"]]:
    """Random problems with the teacher's answers and their lengths, for supervised training; none held out."""
    rng = _rng(seed, 2)
    chosen = [problems.sample(rng, held_out=False) for _ in range(num_problems)]
    return (prompts(chosen), *answers([teacher.demonstrate(rng, problem) for problem in chosen]))


def _rng(seed: int, stream: int) -> np.random.Generator:
    """A stream of random numbers of its own for each use."""
    return np.random.default_rng((seed, stream))
