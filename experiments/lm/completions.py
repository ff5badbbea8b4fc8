"""Answers to read: completions.jsonl, written at every evaluation and every ``log.completions_every`` RL steps.

A line holds a held-out prompt and its answers at a step. The first ``log.completions_prompts`` prompts are always
among them; an evaluation adds those that are solved for the first time since the one before, and the worst. The answers
are the first ones of the evaluation.
"""

from __future__ import annotations

import json
from typing import Any

import jax
import numpy as np

from experiments.lm.setup import Setup
from experiments.results.completions import FILE
from maxrl_jax import keys
from maxrl_jax.lm.evaluation import SHOWN
from maxrl_jax.lm.schedule import Schedule
from maxrl_jax.lm.task import Task
from maxrl_jax.runs.folder.run import Run

ADDED = 2
"""Newly solved prompts that an evaluation adds at most, and worst ones."""


class Completions:
    """Appends answers to the run's completions.jsonl, and as a table to W&B.

    Args:
        run: the open run.
        setup: its parts.
        schedule: the estimator that their advantages are shown by.
    """

    def __init__(self, run: Run, setup: Setup, schedule: Schedule):
        log = setup.config.log
        self._run, self._setup, self._schedule = run, setup, schedule
        self._fixed = min(log.completions_prompts, len(setup.held_out))
        self._most = min(self._fixed + 2 * ADDED, len(setup.held_out))
        self._before: np.ndarray | None = None  # which prompts were solved at the evaluation before
        answers, prompts = log.completions_answers, setup.held_out.at(slice(self._fixed))
        self._sampler = setup.sampler(answers, answers, prompts)

    def between(self, state: dict[str, Any], step: int) -> None:
        """Between two evaluations: the same prompts as always."""
        config = self._setup.config
        evaluated = step == config.rl.steps or (config.eval.every_steps and step % config.eval.every_steps == 0)
        if not evaluated:
            found = self._sampler(state["params"], keys.stream(config.seed, "completions", step))
            self._write(step, np.arange(self._fixed), found)

    def evaluated(self, step: int, found: dict[str, np.ndarray]) -> None:
        """Writes the first answers of an evaluation, given as by the run's sampler."""
        self._write(step, self._chosen(found["solved"]), found)

    def _write(self, step: int, chosen: np.ndarray, found: dict[str, np.ndarray]) -> None:
        """Writes the answers shown to the held-out prompts with these numbers."""
        if jax.process_index() != 0:
            return
        task, prompts = self._setup.task, jax.device_get(self._setup.held_out.at(chosen))
        tokens, length, rewards, codes = (found[f"shown_{name}"][chosen] for name in SHOWN)
        advantages = self._advantages(step, rewards)
        lines = [
            {
                "step": step,
                **_prompt(task, prompts, row),
                "answers": [
                    task.text(answer[:end].tolist()) for answer, end in zip(tokens[row], length[row], strict=True)
                ],
                "rewards": rewards[row].astype(float).tolist(),
                "reasons": [task.reasons[code] for code in codes[row]],
                "advantages": advantages[row],
                "lengths": length[row].tolist(),
            }
            for row in range(len(chosen))
        ]
        self._run.append(FILE, [json.dumps(line, ensure_ascii=False) for line in lines])
        self._run.log_table(step, "eval/completions", _answers(lines))

    def _chosen(self, solved: np.ndarray) -> np.ndarray:
        """Numbers of the prompts that are shown with an evaluation."""
        others = np.arange(self._fixed, len(solved))
        before, self._before = self._before, solved > 0
        new = others[(solved > 0)[others] & ~before[others]][:ADDED] if before is not None else others[:0]
        worst = np.setdiff1d(others, new)
        worst = worst[np.argsort(solved[worst], kind="stable")][: self._most - self._fixed - len(new)]
        return np.concatenate([np.arange(self._fixed), new, worst])

    def _advantages(self, step: int, rewards: np.ndarray) -> list[list[float | None]]:
        """The estimator's advantages of the answers shown; None where it needs more than their rewards."""
        estimator = self._schedule.at(step)
        try:
            found = np.asarray(estimator(np.asarray(rewards, np.float32)))
        except (TypeError, ValueError):  # it needs other arrays, or another number of rollouts
            return [[None] * len(row) for row in rewards]
        return found.astype(float).tolist()


def _prompt(task: Task, prompts: Any, row: int) -> dict[str, str]:
    length = prompts.tokens.shape[1] if prompts.lengths is None else prompts.lengths[row]
    gold = task.gold(jax.tree.map(lambda leaf: leaf[row], prompts.state))
    return {"prompt": task.text(prompts.tokens[row, :length].tolist()), "gold": gold}


def _answers(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row an answer."""
    names = ("answers", "rewards", "reasons", "advantages", "lengths")
    return [
        {"prompt": line["prompt"], "gold": line["gold"]}
        | {name.removesuffix("s"): value for name, value in zip(names, values, strict=True)}
        for line in lines
        for values in zip(*(line[name] for name in names), strict=True)
    ]
