"""Sampled answers of a maze run, from figures/answers.npz, as the page draws them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from maxrl_jax.tasks.maze import REASONS, tokens

MOST = 6
_SOLVED = REASONS.index("solved")


Way = list[tuple[float, float]]
"""(row, column) points."""


@dataclasses.dataclass(frozen=True)
class Maze:
    """One maze and what the policy made of it.

    Attributes:
        size: n of its n x n cells.
        walls: [W, 2] rows and columns of its walls.
        ways: by "failed" and "right" the longest such answer, where there is one.
        solved: number of samples that solve it.
        samples: their number.
    """

    size: int
    walls: np.ndarray
    ways: dict[str, Way]
    solved: int
    samples: int


def read(path: Path) -> list[Maze]:
    """Up to `MOST` mazes of a file, those with right and failed answers first.

    Args:
        path: an npz file with walls [M, n, n], answers [M, S, T] and reason [M, S] (`maze.REASONS`).
    """
    with np.load(path, allow_pickle=False) as file:
        walls, answers, reason = file["walls"], file["answers"], file["reason"]
    solved = reason == _SOLVED
    both = solved.any(1) & ~solved.all(1)
    order = np.argsort(~both * 2 + ~solved.any(1), kind="stable")[:MOST]
    return [_maze(walls[i], answers[i], solved[i]) for i in order]


def steps(walls: np.ndarray, answer: np.ndarray) -> Way:
    """The way of an answer as (row, column) points from the start, up to the goal or into the side of a wall.

    Args:
        walls: bool [n, n].
        answer: int [T], tokens after the prompt.
    """
    size = len(walls)
    way = [(1.0, 1.0)]
    for token in answer:
        if int(token) not in tokens.DISPLACEMENTS or way[-1] == (size - 2, size - 2):
            break
        (row, column), (down, right) = way[-1], tokens.DISPLACEMENTS[int(token)]
        into = int(row) + down, int(column) + right
        if not (0 <= into[0] < size and 0 <= into[1] < size) or walls[into]:
            way.append((row + down / 2, column + right / 2))
            break
        way.append((float(into[0]), float(into[1])))
    return way


def _maze(walls: np.ndarray, answers: np.ndarray, solved: np.ndarray) -> Maze:
    length = (answers != tokens.PAD).sum(-1)
    ways = {
        kind: steps(walls, answers[int(np.argmax(np.where(mask, length, -1)))])
        for kind, mask in (("failed", ~solved), ("right", solved))
        if mask.any()
    }
    return Maze(len(walls), np.argwhere(walls), ways, int(solved.sum()), len(solved))
