"""The colour and the dash of each line of a report: a method's own colour, as in every figure, where methods differ."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from experiments.results import style
from experiments.results.groups import Group, parts

DASHES = ((), (7, 3), (2, 2.5), (9, 3, 2, 3))
"""Of lines of one colour, in SVG's lengths."""


@dataclasses.dataclass(frozen=True)
class Look:
    """How a line is drawn.

    Attributes:
        colour: #rrggbb; the page lightens it on a dark ground.
        dash: of `DASHES`.
    """

    colour: str
    dash: tuple[float, ...]


def of_groups(groups: Sequence[Group]) -> list[Look]:
    """A look for each group: by method where methods differ, or there is one, and all have a colour; else in turn."""
    methods = [parts(group.method)[0] for group in groups]
    tell_apart = len(methods) == 1 or len(set(methods)) > 1
    by_method = tell_apart and set(methods) <= set(style.COLOURS)
    return _dashed([style.COLOURS[name] for name in methods]) if by_method else in_turn(len(groups))


def in_turn(count: int) -> list[Look]:
    """Looks of lines that are no methods."""
    return _dashed([style.CYCLE[i % len(style.CYCLE)] for i in range(count)])


def _dashed(colours: Sequence[str]) -> list[Look]:
    """Lines that share a colour differ in their dash."""
    met: Counter[str] = Counter()
    looks = []
    for colour in colours:
        looks.append(Look(colour, DASHES[met[colour] % len(DASHES)]))
        met[colour] += 1
    return looks
