"""Answers to read: completions.jsonl, written at every evaluation and every ``log.completions_every`` RL steps.

A line holds a held-out prompt and its answers at a step. The first ``log.completions_prompts`` prompts are always
among them; an evaluation adds those that are solved for the first time since the one before, and the worst. The answers
are the first ones of the evaluation itself.
"""

from __future__ import annotations

import json
from typing import Any

import jax
import numpy as np

from experiments.lm.setup import Setup
from experiments.results.completions import FILE
from maxrl_jax import keys
from maxrl_jax.lm.host.sampler import HostSampler
from maxrl_jax.lm.schedule import Schedule
from maxrl_jax.lm.task import Task
from maxrl_jax.runs.folder.run import Run

ADDED = 2
"""Newly solved prompts that an evaluation adds at most, and worst ones."""


class Completions:
    """Samples answers and appends them to the run's completions.jsonl, and as a table to W&B.

    Args:
        run: the open run.
        setup: its parts.
        schedule: the estimator that their advantages are shown by.
    """

    def __init__(self, run: Run, setup: Setup, schedule: Schedule):
        log = setup.config.log
        self._run, self._setup, self._schedule = run, setup, schedule
        self._fixed, self._samples = min(log.completions_prompts, len(setup.held_out)), log.completions_answers
        self._count = self._fixed + min(2 * ADDED, len(setup.held_out) - self._fixed)
        self._before: np.ndarray | None = None  # which prompts were solved at the evaluation before
        parts = setup.policy, setup.task, setup.held_out, self._samples, setup.eval_sampling, setup.mesh
        self._sampler = HostSampler(*parts, setup.eval_rows, setup.step.decode_segments)

    def every(self, state: dict[str, Any], step: int) -> None:
        """Between two evaluations: the same prompts as always."""
        config = self._setup.config
        evaluated = step == config.rl.steps or (config.eval.every_steps and step % config.eval.every_steps == 0)
        if not evaluated:
            self.write(state["params"], step, keys.stream(config.seed, "completions", step))

    def write(self, params: Any, step: int, key: jax.Array, solved: np.ndarray | None = None) -> None:
        """Writes the completions of a step.

        Args:
            params: of the policy.
            step: of RL.
            key: of the evaluation, or of these answers alone.
            solved: right answers to each prompt in the evaluation.
        """
        chosen = self._chosen(solved)
        devices = self._setup.mesh.size
        numbers = np.resize(chosen, -(-self._count // devices) * devices)  # always as many: one program draws them
        drawn, verdict = self._sampler.answers(params, key, numbers)
        if jax.process_index() == 0:
            advantages = self._advantages(step, verdict.rewards)
            prompts = jax.device_get(self._setup.held_out.at(chosen))
            lines = [
                {
                    "step": step,
                    **_prompt(self._setup.task, prompts, row),
                    "answers": [
                        self._setup.task.text(tokens[:length].tolist())
                        for tokens, length in zip(drawn["tokens"][row], drawn["length"][row], strict=True)
                    ],
                    "rewards": verdict.rewards[row].astype(float).tolist(),
                    "reasons": [self._setup.task.reasons[code] for code in verdict.codes[row]],
                    "advantages": advantages[row],
                    "lengths": drawn["length"][row].tolist(),
                }
                for row in range(len(chosen))
            ]
            self._run.append(FILE, [json.dumps(line, ensure_ascii=False) for line in lines])
            self._run.log_table(step, "eval/completions", _answers(lines))

    def _chosen(self, solved: np.ndarray | None) -> np.ndarray:
        """Numbers of the prompts that are shown."""
        fixed = np.arange(self._fixed)
        if solved is None:
            return fixed
        others = np.arange(self._fixed, len(solved))
        before, self._before = self._before, solved > 0
        new = others[(solved > 0)[others] & ~before[others]][:ADDED] if before is not None else others[:0]
        worst = np.setdiff1d(others, new)
        worst = worst[np.argsort(solved[worst], kind="stable")][: self._count - self._fixed - len(new)]
        return np.concatenate([fixed, new, worst])

    def _advantages(self, step: int, rewards: np.ndarray) -> list[list[float | None]]:
        """The estimator's advantages of the answers shown; None where it needs more than their rewards."""
        estimator = self._schedule.at(step)
        try:
            found = np.asarray(estimator(np.asarray(rewards, np.float32)))
        except (TypeError, ValueError):  # it needs other arrays, or another number of rollouts
            return [[None] * self._samples for _ in rewards]
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
