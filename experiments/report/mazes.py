"""Sampled answers of a maze run, drawn as inline SVG from figures/answers.npz."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np

from maxrl_jax.tasks.maze import REASONS, tokens

MOST = 6
_SOLVED = REASONS.index("solved")


def draw(path: Path) -> str:
    """Mazes with one right and one failed answer of the policy each, those with both kinds first.

    Args:
        path: an npz file with walls [M, n, n], answers [M, S, T] and reason [M, S] (`maze.REASONS`).

    Returns:
        A grid of figures, each captioned with the share of samples that solve it.
    """
    with np.load(path, allow_pickle=False) as file:
        walls, answers, reason = file["walls"], file["answers"], file["reason"]
    solved = reason == _SOLVED
    both = solved.any(1) & ~solved.all(1)
    order = np.argsort(~both * 2 + ~solved.any(1), kind="stable")[:MOST]
    return f'<div class="mazes">{"".join(_one(walls[i], answers[i], reason[i]) for i in order)}</div>'


def steps(walls: np.ndarray, answer: np.ndarray) -> list[tuple[float, float]]:
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


def _one(walls: np.ndarray, answers: np.ndarray, reason: np.ndarray) -> str:
    solved = reason == _SOLVED
    size = len(walls)
    parts = [f'<rect class="floor" width="{size}" height="{size}" rx="0.3"/>']
    squares = "".join(f"M{c} {r}h1v1h-1z" for r, c in np.argwhere(walls))
    parts.append(f'<path class="walls" d="{squares}"/>')
    parts.append('<circle class="start" cx="1.5" cy="1.5" r="0.34"/>')
    parts.append(f'<rect class="goal" x="{size - 1.84}" y="{size - 1.84}" width="0.68" height="0.68" rx="0.12"/>')
    for kind, mask in (("failed", ~solved), ("right", solved)):
        if mask.any():
            length = (answers != tokens.PAD).sum(-1)
            parts.append(_way(steps(walls, answers[int(np.argmax(np.where(mask, length, -1)))]), kind))
    share = f"{solved.sum()} of {len(solved)} samples solve it"
    return (
        f'<figure><svg viewBox="0 0 {size} {size}" role="img" aria-label="{html.escape(share)}">{"".join(parts)}</svg>'
        f"<figcaption>{share}</figcaption></figure>"
    )


def _way(way: list[tuple[float, float]], kind: str) -> str:
    points = "L".join(f"{column + 0.5:g} {row + 0.5:g}" for row, column in way)
    end = ""
    if kind == "failed":
        row, column = way[-1]
        x, y = column + 0.5, row + 0.5
        end = f'<path class="cross" d="M{x - 0.25:g} {y - 0.25:g}l0.5 0.5m-0.5 0l0.5 -0.5"/>'
    return f'<path class="{kind}" d="M{points}"/>{end}'
