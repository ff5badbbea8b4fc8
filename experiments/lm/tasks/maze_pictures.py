"""Plots of a policy's answers: a right and a failed path through held-out mazes (MaxRL Figure 10)."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from experiments.lm.setup import Setup
from experiments.results import style
from maxrl_jax import keys
from maxrl_jax.lm.engine import OneLoop
from maxrl_jax.lm.judging import answered
from maxrl_jax.runs.folder.run import Run
from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import pictures as drawing
from maxrl_jax.tasks.maze import tokens

_MAZES = 16


def answers_to_held_out(setup: Setup, params: Any, num_samples: int = 8) -> dict[str, np.ndarray]:
    """Samples answers to the first held-out mazes.

    Returns:
      walls [M, n, n], answers [M, num_samples, T] and reason [M, num_samples] (indices into `maze.REASONS`).
    """
    prompts = setup.held_out.at(slice(_MAZES))
    key = keys.stream(setup.config.seed, "pictures")
    engine = OneLoop(setup.policy, setup.sampling, None)
    answers, pending = answered(engine, setup.task, prompts, num_samples, key, params)
    walls, found = jax.device_get((prompts.state.walls, answers.tokens))
    return {"walls": walls, "answers": found, "reason": np.asarray(pending().codes)}


def save_answers(run: Run, setup: Setup, params: Any) -> None:
    """Draws a right and a failed answer into the run's figures/ and keeps the samples they are from; in process 0."""
    samples = answers_to_held_out(setup, params)
    with run.figure_file("answers.npz") as path:
        np.savez_compressed(path, **samples)
    with run.figure_file("answers.png") as path, style.settings():
        draw_right_and_failed(samples).savefig(path, dpi=150)


def right_and_failed(samples: dict[str, np.ndarray]) -> tuple[int, list[np.ndarray]]:
    """The longest right answer and the longest failed one of one maze, or the one kind that there is.

    Args:
      samples: of `answers_to_held_out`, or read back from figures/answers.npz.

    Returns:
      The maze's number, and its one or two answers [T], the right one first.
    """
    solved = samples["reason"] == maze.REASONS.index("solved")
    length = (samples["answers"] != tokens.PAD).sum(-1)
    # A maze with both kinds where there is one, and among those the longest way.
    both = solved.any(1) & (~solved).any(1)
    row = int(np.argmax(both * 10_000 + np.where(solved, length, 0).max(1)))
    masks = [mask for mask in (solved[row], ~solved[row]) if mask.any()]
    return row, [samples["answers"][row, int(np.argmax(np.where(mask, length[row], -1)))] for mask in masks]


def draw_right_and_failed(samples: dict[str, np.ndarray]) -> Figure:
    """The answers of `right_and_failed`, side by side."""
    row, answers = right_and_failed(samples)
    # Blank captions that differ: what became of an answer is caption enough.
    return drawing.figure(samples["walls"][row], {" " * i: answer for i, answer in enumerate(answers)})
