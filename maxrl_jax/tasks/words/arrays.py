"""Problems and demonstrations as arrays, padded on the right to lengths that fit every one there is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from maxrl_jax.tasks.words import problems, teacher, vocabulary
from maxrl_jax.tasks.words.problems import Problem

# ada has 12 books; then ben has 13 over ada, a step; how many has ben
PROMPT_LENGTH = 5 + 7 * max(problems.STEPS) + 4
# ada 12; ben plus 13 makes 15, a step; so \boxed{15}
ANSWER_LENGTH = 3 + 7 * max(problems.STEPS) + 5


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


def prompts(chosen: Sequence[Problem]) -> Prompts:
    """The questions as arrays, S = PROMPT_LENGTH."""
    tokens, lengths = vocabulary.pad([vocabulary.encode(problem.text) for problem in chosen], PROMPT_LENGTH)
    return Prompts(tokens, lengths, np.array([problem.answer for problem in chosen], np.int32))


def answers(texts: Sequence[str]) -> tuple[Int32[np.ndarray, "M T"], Int32[np.ndarray, " M"]]:
    """Answers as arrays, T = ANSWER_LENGTH, and their lengths; the ``}`` that ends one is its last token."""
    return vocabulary.pad([vocabulary.encode(text) for text in texts], ANSWER_LENGTH)


def training_set(seed: int, num_problems: int = 256) -> Prompts:
    """The fixed training set: problems of different contents, none of them held out; a function of the arguments."""
    return prompts(problems.distinct(_rng(seed, 0), num_problems, held_out=False))


def held_out_set(seed: int, num_problems: int) -> Prompts:
    """Problems of different contents that no training set or demonstration has."""
    return prompts(problems.distinct(_rng(seed, 1), num_problems, held_out=True))


def solutions(seed: int, num_problems: int) -> Int32[np.ndarray, "M T"]:
    """The right chains of the problems of `held_out_set`."""
    chosen = problems.distinct(_rng(seed, 1), num_problems, held_out=True)
    return answers([teacher.solution(problem) for problem in chosen])[0]


def demonstrations(seed: int, num_problems: int) -> tuple[Prompts, Int32[np.ndarray, "M T"], Int32[np.ndarray, " M"]]:
    """Random problems with the teacher's answers and their lengths, for supervised training; none held out."""
    rng = _rng(seed, 2)
    chosen = [problems.sample(rng, held_out=False) for _ in range(num_problems)]
    return (prompts(chosen), *answers([teacher.demonstrate(rng, problem) for problem in chosen]))


def _rng(seed: int, stream: int) -> np.random.Generator:
    """A stream of random numbers of its own for each use."""
    return np.random.default_rng((seed, stream))
