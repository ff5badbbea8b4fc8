"""Sampled answers of a maze run, from figures/answers.npz, as the page draws them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import tokens, verifier

MOST = 6


def read(path: Path) -> list[dict[str, Any]]:
    """Up to `MOST` mazes of a file, those with right and failed answers first.

    Args:
        path: an npz file with walls [M, n, n], answers [M, S, T] and reason [M, S] (`maze.REASONS`).

    Returns:
        Of each maze its size, walls [W, 2] as rows and columns, ways (of the longest "failed" and "right" answer, where
        there is one), the number of samples and of those that solve it.
    """
    with np.load(path, allow_pickle=False) as file:
        walls, answers, reason = file["walls"], file["answers"], file["reason"]
    steps = np.asarray(maze.judge(walls, answers).num_steps)
    solved, length = reason == verifier.SOLVED, (answers != tokens.PAD).sum(-1)
    order = np.argsort(~(solved.any(1) & ~solved.all(1)) * 2 + ~solved.any(1), kind="stable")[:MOST]
    found = []
    for i in order:
        longest = {
            kind: int(np.argmax(np.where(mask, length[i], -1)))
            for kind, mask in (("failed", ~solved[i]), ("right", solved[i]))
            if mask.any()
        }
        ways = {kind: way(walls[i], answers[i, j], steps[i, j]) for kind, j in longest.items()}
        counts = {"solved": int(solved[i].sum()), "samples": solved.shape[1]}
        found.append({"size": walls.shape[-1], "walls": np.argwhere(walls[i]), "ways": ways, **counts})
    return found


def way(walls: np.ndarray, answer: np.ndarray, num_steps: int) -> np.ndarray:
    """(row, column) points of an answer from the start, up to the goal or into the side of a wall or of the edge."""
    path = np.array(tokens.positions(answer)[: num_steps + 1], float)
    row, column = path[-1].astype(int)
    if num_steps and not (0 <= row < len(walls) and 0 <= column < len(walls) and not walls[row, column]):
        path[-1] = (path[-2] + path[-1]) / 2
    return path
