"""Held-out evaluation: many samples of every held-out maze, in chunks of bounded memory, and unbiased pass@k."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.maze.problem import Problem, by_platform
from maxrl_jax import metrics
from maxrl_jax.lm.rollout import Rollouts, map_rollouts
from maxrl_jax.runs import keys
from maxrl_jax.runs.devices.data_parallel import Share, over_batch
from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import verifier

STREAMS = {"eval": "evaluation", "sft": "sft_evaluation"}
"""The stream of random numbers of the evaluations of a phase, by the prefix of their metrics."""


class Evaluator:
    """``evaluator(state, step) -> {"PREFIX/...": value}``; compiled at its first call.

    Args:
        problem: of the run.
        prefix: of the metrics: eval, or sft during SFT.
    """

    def __init__(self, problem: Problem, prefix: str = "eval"):
        self.problem, self.prefix = problem, prefix
        count = problem.mesh.size
        # Every device gets as many mazes; the last ones repeat the first and are cut off.
        padded = -(-problem.num_eval // count) * count
        pick = np.arange(padded) % problem.num_eval
        self._mazes = jax.tree.map(lambda leaf: leaf[pick], problem.held_out.mazes)
        self._sample = jax.jit(self._sample_all)

    def __call__(self, state: dict[str, Any], step: int) -> dict[str, Any]:
        """Samples every maze and returns what is logged, in plain numbers and lists."""
        problem = self.problem
        key = keys.stream(problem.config.seed, STREAMS[self.prefix], step)
        sums = jax.device_get(self._sample(state["params"], key, self._mazes))
        per_maze = {name: np.asarray(value)[: problem.num_eval] for name, value in sums.items()}
        return summary(per_maze, problem.config.eval.num_samples, self.prefix)

    def _sample_all(self, params: Any, key: jax.Array, mazes: maze.Mazes) -> dict[str, jax.Array]:
        problem, config = self.problem, self.problem.config
        rows = by_platform(config.eval.decode_rows, cpu=512, accelerator=16_384)

        def share_of_mazes(share: Share, params: Any, key: jax.Array, mazes: maze.Mazes) -> dict[str, jax.Array]:
            ids = share.ids(len(mazes.num_moves))
            own = jax.tree.map(lambda leaf: leaf[ids], mazes)
            per_answer = map_rollouts(
                judge_answers,
                problem.model(params, problem.dtype),
                maze.encode_prompt(own.walls),
                key,
                config.eval.num_samples,
                problem.settings(),
                inputs=own,
                prompt_ids_P=ids,
                max_rows=rows,
            )
            return {name: jnp.sum(value, axis=1) for name, value in per_answer.items()}

        return over_batch(share_of_mazes, problem.mesh, params, key, mazes, batch_outputs=True)


def judge_answers(answers: Rollouts, mazes: maze.Mazes) -> dict[str, jax.Array]:
    """What is kept of each answer [p, n]: whether it is right, whether it is a shortest one, its length."""
    verdict = maze.judge(mazes.walls, answers.tokens)
    solved = verdict.reason == verifier.SOLVED
    return {
        "solved": solved.astype(jnp.int32),
        "shortest": (solved & (verdict.num_moves == mazes.num_moves[:, None])).astype(jnp.int32),
        "length": answers.lengths,
    }


def orders(num_samples: int) -> list[int]:
    """The k of eval/pass@k: powers of two up to the number of samples, and that number."""
    return sorted({2**j for j in range(num_samples.bit_length()) if 2**j <= num_samples} | {num_samples})


def summary(per_maze: dict[str, np.ndarray], num_samples: int, prefix: str = "eval") -> dict[str, Any]:
    """What one evaluation logs; PREFIX is eval, or sft for an evaluation during SFT.

    Args:
      per_maze: sums over the samples of each maze, int [M]: solved, shortest, length.
      num_samples: samples of each maze.
      prefix: of the names.

    Returns:
      PREFIX/pass@K (unbiased, mean over mazes) for K in powers of two, PREFIX/neg_log_pass@1 and of the largest K,
      PREFIX/shortest (share of the right answers without a detour), PREFIX/answer_length (tokens), PREFIX/coverage
      (share of mazes solved at least once), and PREFIX/solved, the counts themselves: pass@k for every k,
      support and efficiency follow from them.
    """
    solved = per_maze["solved"]
    ks = orders(num_samples)
    curve = metrics.pass_at_k(num_samples, solved, ks).mean(axis=0)
    out: dict[str, Any] = {f"{prefix}/pass@{k}": float(value) for k, value in zip(ks, curve, strict=True)}
    for k, value in ((ks[0], curve[0]), (ks[-1], curve[-1])):
        if value > 0:
            out[f"{prefix}/neg_log_pass@{k}"] = float(-np.log(value))
    total = int(solved.sum())
    out[f"{prefix}/shortest"] = float(per_maze["shortest"].sum() / total) if total else 0.0
    out[f"{prefix}/answer_length"] = float(per_maze["length"].sum() / (len(solved) * num_samples))
    out[f"{prefix}/coverage"] = float(np.mean(solved > 0))
    out[f"{prefix}/solved"] = solved.tolist()
    return out
