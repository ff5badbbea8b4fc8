"""Repacks unfinished rows so that finished ones use no memory.

Rows lie in tiles: each is n rows of one prompt, which share its keys and values. The first layout has a tile for each
prompt with all its N rollouts; later layouts have more and narrower tiles of the rows that are left.

Letters: D devices, G tiles of a device, n rows of a tile, S prompt tokens.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Int32


@dataclasses.dataclass(frozen=True)
class Tiles:
    """The answer that each row belongs to.

    Attributes:
        prompts: number of each tile's prompt.
        numbers: number of each row's rollout among those of its prompt.
        alive: rows whose answer is not complete; the others only fill up.
    """

    prompts: Int32[np.ndarray, "D G"]
    numbers: Int32[np.ndarray, "D G n"]
    alive: Bool[np.ndarray, "D G n"]

    @property
    def prompts_of_rows(self) -> Int32[np.ndarray, "D G n"]:
        """Number of each row's prompt."""
        return np.broadcast_to(self.prompts[..., None], self.numbers.shape)


@dataclasses.dataclass(frozen=True)
class Shapes:
    """The few shapes that layouts have, since each of them is compiled separately.

    Tiles are N, N/4, N/16, ... rows wide as far as that divides, or 1; their number is that of the first layout, halved
    any number of times.

    Attributes:
        num_prompts: tiles of a device in the first layout.
        num_rollouts: their width.
    """

    num_prompts: int
    num_rollouts: int

    @property
    def widths(self) -> list[int]:
        """Widths of tiles, the widest first."""
        found = [self.num_rollouts]
        while found[-1] % 4 == 0:
            found.append(found[-1] // 4)
        return found if found[-1] == 1 else [*found, 1]

    def count(self, needed: int, width: int) -> int:
        """The smallest number of tiles of a width that is not less than needed."""
        tiles = self.num_prompts * self.num_rollouts // width
        return next(
            count
            for halvings in reversed(range(tiles.bit_length() + 1))
            if (count := math.ceil(tiles / 2**halvings)) >= needed
        )


def gather(
    tiles: Tiles, shapes: Shapes, prompt_length: int, answer_length: int
) -> tuple[Tiles, Int32[np.ndarray, "D G n"]]:
    """The rows that are alive in as little room as the shapes allow.

    A layout holds G (S + n T) positions of keys and values, T the longest answer so far: narrow tiles fit rows of
    many prompts better, and copy a prompt more often.

    Args:
        tiles: the layout so far, with a row alive.
        shapes: that may be used.
        prompt_length: S.
        answer_length: T, the longest that an answer gets in the new layout.

    Returns:
        The new layout, and which row of the old one each of its rows was, counted on its device; a row that fills up
        repeats another.
    """

    def room(width: int) -> int:
        return _count(tiles, shapes, width) * (prompt_length + width * answer_length)

    width = min(shapes.widths, key=room)
    count = _count(tiles, shapes, width)
    rows = np.zeros((len(tiles.prompts), count, width), np.int32)
    alive = np.zeros(rows.shape, bool)
    for device in range(len(rows)):
        for place, members in enumerate(_cut(tiles, device, width)):
            rows[device, place] = members[0]
            rows[device, place, : len(members)] = members
            alive[device, place, : len(members)] = True
    before = tiles.numbers.shape[-1]
    prompts = np.take_along_axis(tiles.prompts, rows[..., 0] // before, axis=1)
    numbers = np.take_along_axis(tiles.numbers.reshape(len(rows), -1), rows.reshape(len(rows), -1), axis=1)
    return Tiles(prompts, numbers.reshape(rows.shape), alive), rows


def _count(tiles: Tiles, shapes: Shapes, width: int) -> int:
    """Tiles of a device, of one width: as many as the fullest device needs."""
    return shapes.count(max(len(_cut(tiles, device, width)) for device in range(len(tiles.prompts))), width)


def _cut(tiles: Tiles, device: int, width: int) -> list[Int32[np.ndarray, " m"]]:
    """A device's rows that are alive, prompt by prompt, in pieces of up to a width."""
    rows = np.flatnonzero(tiles.alive[device])
    owners = tiles.prompts_of_rows[device].reshape(-1)[rows]
    of_prompts = [rows[owners == prompt] for prompt in np.unique(owners)]
    return [own[first : first + width] for own in of_prompts for first in range(0, len(own), width)]
