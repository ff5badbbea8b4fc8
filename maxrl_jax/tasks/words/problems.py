"""Word problems: a first quantity, two to four relations that lead from it to the one asked for, and the answer.

    ada has 12 books then ben has 3 over ada then cal has twice ben how many has cal

Which problems are held out is a matter of their content (the numbers and relations, whoever the people are and
whatever they have), decided by a hash: no stream of training problems ever has one of them.
"""

import bisect
import dataclasses
import itertools
import zlib
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from maxrl_jax.tasks.words import relations, vocabulary
from maxrl_jax.tasks.words.relations import LARGEST, Relation

STEPS = (2, 3, 4)
KINDS = {
    "": (STEPS, relations.FREQUENCIES),
    "rare": (STEPS, (0.0, 0.0, 0.5, 0.5)),  # only the two words of an operation that a teacher misreads most
    "long": ((5, 6), relations.FREQUENCIES),
}
"""Steps of a chain and frequencies of an operation's words: those of demonstrations, harder ones, longer ones."""

LARGEST_CHANGE = 20  # added or subtracted in one step
HELD_OUT_SHARE = 8  # one content in 8 is held out

Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        start: what the first person has.
        steps: relation and number (0 where it takes none) of each further person to the one before.
        people: names, one more than steps.
        thing: what they have.
    """

    start: int
    steps: tuple[tuple[Relation, int], ...]
    people: tuple[str, ...]
    thing: str

    @property
    def text(self) -> str:
        """The question."""
        told = [f"{self.people[0]} has {self.start} {self.thing}"]
        for (relation, number), who, whose in zip(self.steps, self.people[1:], self.people, strict=False):
            amount = f"{number} {relation.word}" if relation.has_number else relation.word
            told.append(f"{who} has {amount} {whose}")
        return " then ".join(told) + f" how many has {self.people[-1]}"

    @property
    def answer(self) -> int:
        """The number of things the last person has, 1 .. LARGEST."""
        value = self.start
        for relation, number in self.steps:
            value = _applied(relation, value, number)
        return value

    @property
    def content(self) -> tuple[int, tuple[tuple[str, int], ...]]:
        """The problem's identity: numbers and relations."""
        return self.start, tuple((relation.word, number) for relation, number in self.steps)

    @property
    def held_out(self) -> bool:
        """Whether it is kept from training."""
        return zlib.crc32(repr(self.content).encode()) % HELD_OUT_SHARE == 0


def sample(rng: np.random.Generator, *, held_out: bool, kind: str = "") -> Problem:
    """A random problem of one of `KINDS`, of those held out or of the others."""
    lengths, frequencies = KINDS[kind]
    boundaries = list(itertools.accumulate(frequencies))[:-1]  # of a uniform number, between the words
    while True:
        start = int(rng.integers(1, LARGEST + 1))
        steps, value = [], start
        for _ in range(_pick(rng, lengths)):
            relation, number = _step(rng, value, boundaries)
            steps.append((relation, number))
            value = _applied(relation, value, number)
        people = rng.permutation(len(vocabulary.NAMES))[: len(steps) + 1]
        names = tuple(vocabulary.NAMES[person] for person in people)
        problem = Problem(start, tuple(steps), names, _pick(rng, vocabulary.THINGS))
        if problem.held_out == held_out:
            return problem


def distinct(rng: np.random.Generator, num_problems: int, *, held_out: bool, kind: str = "") -> list[Problem]:
    """Random problems of different contents; the first M of a longer list are the list of M."""
    return [problem for _, problem in zip(range(num_problems), _without_repeats(rng, held_out, kind), strict=False)]


def _without_repeats(rng: np.random.Generator, held_out: bool, kind: str) -> Iterator[Problem]:
    seen = set()
    while True:
        problem = sample(rng, held_out=held_out, kind=kind)
        if problem.content not in seen:
            seen.add(problem.content)
            yield problem


def _step(rng: np.random.Generator, value: int, boundaries: Sequence[float]) -> tuple[Relation, int]:
    """A relation that a value allows, and its number: an operation at random, then one of its words."""
    largest = _largest_numbers(value)
    operation = _pick(rng, list(largest))
    relation = relations.BY_OPERATION[operation][bisect.bisect(boundaries, rng.random())]
    return relation, int(rng.integers(1, largest[operation] + 1)) if relation.has_number else 0


def _pick(rng: np.random.Generator, items: Sequence[Item]) -> Item:
    """One of the items; `rng.choice` does the same and takes ten times as long."""
    return items[int(rng.integers(len(items)))]


def _largest_numbers(value: int) -> dict[str, int]:
    """The operations that a value allows, and the largest number each may take there (0 where it takes none)."""
    largest = {
        vocabulary.ADD: min(LARGEST_CHANGE, LARGEST - value),
        vocabulary.SUBTRACT: min(LARGEST_CHANGE, value - 1),
    }
    allowed = {operation: number for operation, number in largest.items() if number > 0}
    if 2 * value <= LARGEST:
        allowed[vocabulary.DOUBLE] = 0
    if value % 2 == 0:
        allowed[vocabulary.HALVE] = 0
    return allowed


def _applied(relation: Relation, value: int, number: int) -> int:
    """The next value, where the relation is read rightly.

    Raises:
        ValueError: a problem whose numbers leave 1 .. LARGEST.
    """
    result = relations.apply(relation.operation, value, number)
    if result is None:
        raise ValueError(f"problem: got {number} {relation.word} {value}, allowed: results of 1 .. {LARGEST}")
    return result
