"""What a maze config stands for: the task, and what is known of the mazes its model was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.lm_driver import problem
from experiments.maze import provenance
from maxrl_jax.lm.task import Task
from maxrl_jax.runs.config.imported import imported
from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import task as maze_task


def make_task(config: Any) -> Task:
    """The task of the config: mazes, or a user's own, ``my.module:factory``.

    Raises:
        ValueError: the task's factory or one of its fields refuses.
    """
    if config.task != "maze":
        return imported(config, "task", "maze")(config)
    return maze_task.make(
        seed=config.seed,
        size=config.maze.size,
        num_held_out=config.maze.num_held_out,
        held_out_seed=config.eval.seed,
        training_set=config.maze.training_set,
        length=answer_length(config),
        reward=config.maze.reward,
        imitated=config.maze.imitated,
    )


def answer_length(config: Any) -> int:
    """New tokens of an answer to a maze."""
    return config.maze.answer_length or maze.answer_length(config.maze.size, config.model.max_positions)


class Problem(problem.Problem):
    """The parts of a maze run."""

    @classmethod
    def make(cls, config: Any) -> Problem:
        """Builds the task, its held-out prompts and the model's graph."""
        return cls.of(config, make_task(config), config.eval.num_mazes)

    def notes(self) -> list[str]:
        """What a user should know about the sizes: one line each."""
        lines = super().notes()
        if self.config.task == "maze":
            lines += provenance.notes(self.config)
        if self.config.eval.num_mazes > self.num_eval:
            lines.append(
                f"eval.num_mazes: {self.config.eval.num_mazes} asked for, {self.num_eval} held out and evaluated"
            )
        return lines

    def save(self, params: Any, folder: Path) -> None:
        """Writes a model folder, with the tables of the mazes it was never trained on."""
        super().save(params, folder)
        if self.config.task == "maze":
            provenance.write(provenance.after(self.config), folder)
