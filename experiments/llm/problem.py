"""What a config stands for: words, mathematics or a user's own task, and a policy on it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from experiments.llm import data
from experiments.lm_driver import problem
from maxrl_jax.lm import decoder, step
from maxrl_jax.lm.rollout import Settings
from maxrl_jax.lm.task import Task
from maxrl_jax.runs.config.imported import imported
from maxrl_jax.tasks.words import task as words_task

TASKS = ("words", "mathematics")


def make_task(config: Any) -> Task:
    """The task of the config, or a user's own, ``my.module:factory``.

    Raises:
        ValueError: the task's factory or one of its fields refuses.
    """
    if config.task == "mathematics":
        return data.make_task(config)
    if config.task != "words":
        return imported(config, "task", ", ".join(TASKS))(config)
    words = config.words
    return words_task.make(
        seed=config.seed,
        num_problems=words.num_problems,
        num_demonstrations=words.num_demonstrations,
        num_held_out=max(config.eval.num_prompts, 1),
        set_seed=words.set_seed,
    )


class Problem(problem.Problem):
    """The parts of a run of a language model."""

    @classmethod
    def make(cls, config: Any) -> Problem:
        """Builds the task and the model's graph."""
        return cls.of(config, make_task(config), config.eval.num_prompts)

    def notes(self) -> list[str]:
        """What a user should know about the sizes: one line each."""
        lines = super().notes()
        if self.config.eval.num_prompts > self.num_eval:
            lines.append(f"eval.num_prompts: {self.config.eval.num_prompts} asked for, {self.num_eval} there are")
        return lines

    def save(self, params: Any, folder: Path) -> None:
        """Writes a model folder, with the tokenizer's files of the model that the run began with."""
        source = self.config.model.init_from or None
        decoder.save_hf(self.policy.master(params), folder, tokenizer_from=source)

    @property
    def eval_sampling(self) -> Settings:
        """How the answers of an evaluation are drawn."""
        settings = self.config.eval
        return dataclasses.replace(self.sampling, temperature=settings.temperature, top_p=settings.top_p)

    @property
    def measures_entropy(self) -> bool:
        """Evaluations find the entropy of answers (MaxRL Figure 13)."""
        return True

    @property
    def step(self) -> step.Settings:
        """Sizes, sampling and loss of an RL step. One update a batch has ratios of 1, which no range clips."""
        rl, whole = self.config.rl, super().step
        clip = rl.clip_epsilon if rl.clip_epsilon and rl.minibatches > 1 else None
        objective = dataclasses.replace(whole.objective, clip_epsilon=clip)
        return dataclasses.replace(
            whole, objective=objective, minibatches=rl.minibatches, decode_segments=rl.decode_segments
        )
