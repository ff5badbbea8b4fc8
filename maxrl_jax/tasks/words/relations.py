"""The meaning of relations between people, and how often a teacher reads each of them rightly.

Each of four operations has four words. The teacher reads them rightly with probability 0.9, 0.6, 0.3 and 0.1, and
takes them for the opposite otherwise: a model that imitates it is right about the first two most of the time and
wrong about the last two, so a greedy answer fails on rare words where a sampled one may not.
"""

import dataclasses

from maxrl_jax.tasks.words.vocabulary import ADD, DOUBLE, HALVE, SAME, SUBTRACT

LARGEST = 50  # numbers are 1 .. LARGEST
RATES = (0.9, 0.6, 0.3, 0.1)  # that a word is read rightly
FREQUENCIES = (0.4, 0.3, 0.2, 0.1)  # of the words of one operation, in the same order


@dataclasses.dataclass(frozen=True)
class Relation:
    """A word for an operation.

    Attributes:
        word: as problems say it.
        operation: what it means.
        misread_as: what a teacher takes it for when it is wrong.
        rate: how often the teacher is right.
    """

    word: str
    operation: str
    misread_as: str
    rate: float

    @property
    def has_number(self) -> bool:
        """Whether a number goes before the word: "3 over", but "twice"."""
        return self.operation in (ADD, SUBTRACT)


_MEANINGS = (
    (ADD, SUBTRACT, ("over", "above", "beyond", "past")),
    (SUBTRACT, ADD, ("under", "below", "beneath", "behind")),
    (DOUBLE, HALVE, ("twice", "double", "twofold", "twin")),
    (HALVE, DOUBLE, ("half", "midway", "split", "shared")),
)

# The four relations that mean an operation, in the order of RATES and FREQUENCIES.
BY_OPERATION = {
    operation: tuple(Relation(word, operation, opposite, rate) for word, rate in zip(words, RATES, strict=True))
    for operation, opposite, words in _MEANINGS
}


def apply(operation: str, value: int, number: int) -> int | None:
    """The number an operation makes of a value; None where that is not an integer of 1 .. LARGEST."""
    results = {ADD: value + number, SUBTRACT: value - number, DOUBLE: 2 * value, HALVE: value / 2, SAME: value}
    result = results[operation]
    return int(result) if result == int(result) and 1 <= result <= LARGEST else None
