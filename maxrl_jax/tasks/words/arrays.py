"""Problems and their answers as prompts, padded on the right to lengths that fit every one there is.

Every token fits a byte, and so it is kept: the programs that hold the tables are smaller.
"""

from collections.abc import Sequence

import numpy as np

from maxrl_jax.lm.task import Prompts
from maxrl_jax.tasks.words import problems, teacher, vocabulary
from maxrl_jax.tasks.words.problems import Problem


def prompt_length(kind: str = "") -> int:
    """Tokens of the longest question: ada has 12 books; then ben has 13 over ada, a step; how many has ben."""
    return 5 + 7 * max(problems.KINDS[kind][0]) + 4


def answer_length(kind: str = "") -> int:
    r"""Tokens of the longest right answer: ada 12; ben plus 13 makes 15, a step; so \boxed{15}."""
    return 3 + 7 * max(problems.KINDS[kind][0]) + 5


def prompts(chosen: Sequence[Problem], kind: str = "", answers: Sequence[str] | None = None) -> Prompts:
    """The questions, their right numbers as the state, and answers as solutions, which end with their ``}``."""
    tokens, lengths = _padded([problem.text for problem in chosen], prompt_length(kind))
    golds = np.array([problem.answer for problem in chosen], np.int32)
    return Prompts(tokens, golds, lengths, None if answers is None else _padded(answers, answer_length(kind))[0])


def training_set(seed: int, num_problems: int = 256, kind: str = "") -> Prompts:
    """The fixed training set: problems of different contents, none of them held out; a function of the arguments."""
    return prompts(problems.distinct(_rng(seed, 0), num_problems, held_out=False, kind=kind), kind)


def held_out_set(seed: int, num_problems: int, kind: str = "") -> Prompts:
    """Problems of different contents that no training set or demonstration has, with their right chains."""
    chosen = problems.distinct(_rng(seed, 1), num_problems, held_out=True, kind=kind)
    return prompts(chosen, kind, [teacher.solution(problem) for problem in chosen])


def demonstrations(seed: int, num_problems: int) -> Prompts:
    """Random problems with the teacher's answers, for supervised training; none held out."""
    rng = _rng(seed, 2)
    chosen = [problems.sample(rng, held_out=False) for _ in range(num_problems)]
    return prompts(chosen, answers=[teacher.demonstrate(rng, problem) for problem in chosen])


def _padded(texts: Sequence[str], length: int) -> tuple[np.ndarray, np.ndarray]:
    tokens, lengths = vocabulary.pad([vocabulary.encode(text) for text in texts], length)
    return tokens.astype(np.uint8), lengths


def _rng(seed: int, stream: int) -> np.random.Generator:
    """A stream of random numbers of its own for each use."""
    return np.random.default_rng((seed, stream))
