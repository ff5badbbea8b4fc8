"""Evaluation: many samples of every prompt, block by block in bounded memory, and unbiased pass@k and best@k.

Letters: P prompts, n samples of each, T answer tokens.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from maxrl_jax import metrics
from maxrl_jax.lm.engine import Engine, OneLoop
from maxrl_jax.lm.judging import answered
from maxrl_jax.lm.rollout import Rollouts
from maxrl_jax.lm.rollout.chunks import chunk_shape
from maxrl_jax.lm.task import Arrays, Prompts, Task, Verdict

PER_SAMPLE = ("rewards", "votes", "votes_right")
"""Arrays of a `Sampler` with an entry for each answer; the others are sums over the answers to a prompt."""

SHOWN = ("tokens", "length", "rewards", "codes")
"""Arrays of the samples that a `Sampler` shows, each behind ``shown_``."""

Found = dict[str, np.ndarray]


class Sampler:
    """Draws and judges n answers to each prompt: ``sampler(params, key) -> {name: NumPy array}``; consumes the key.

    Sums over the samples of each prompt, int32 [P]: solved, length (tokens) and every measure of the task; float32 [P]:
    entropy (nats) of the distributions that tokens were drawn from. Of each sample [P, n]: rewards, float32, where they
    are graded; votes and whether they are right, where the task has votes.

    Args:
        engine: draws the answers.
        task: judges them.
        prompts: P of them.
        num_samples: n of each prompt.
        num_devices: that a block of prompts is shared out over.
        max_rows: answers that a block has on each device, or one prompt's where that is more; None for one block.
        num_shown: of the first samples of each prompt, all is returned: shown_tokens [P, num_shown, T], shown_length,
            shown_rewards and shown_codes (indices into the task's reasons); 0 for none.
    """

    def __init__(
        self,
        engine: Engine,
        task: Task,
        prompts: Prompts,
        num_samples: int,
        num_devices: int = 1,
        max_rows: int | None = None,
        num_shown: int = 0,
    ):
        self._engine: Any = engine
        self._task, self._prompts = task, prompts
        self._samples, self._shown = num_samples, num_shown
        self._block = chunk_shape(-(-len(prompts) // num_devices), num_samples, max_rows)[0] * num_devices
        in_one_program = isinstance(engine, OneLoop) and not task.judged_on_host
        self._of_block = jax.jit(self._traced) if in_one_program else self._on_host
        self._counted = self._count if task.judged_on_host else jax.jit(self._count)

    def __call__(self, params: Any, key: jax.Array, kept: MutableMapping[int, Found] | None = None) -> Found:
        """See the class; ``kept`` has the blocks that are drawn already, by first prompt, and is given the others."""
        kept = {} if kept is None else kept
        firsts = range(0, len(self._prompts), self._block)
        for first in firsts:
            if first not in kept:
                kept[first] = self._drawn(params, key, first)
        return {name: np.concatenate([kept[first][name] for first in firsts])[: len(self._prompts)] for name in kept[0]}

    def _drawn(self, params: Any, key: jax.Array, first: int) -> Found:
        ids = np.arange(first, first + self._block, dtype=np.int32)
        own = self._prompts.at(ids % len(self._prompts))  # the last block repeats the first prompts
        return jax.device_get(self._of_block(own, key, params, ids))

    def _traced(self, prompts: Prompts, key: jax.Array, params: Any, ids: Any) -> dict[str, Any]:
        """A block in one program."""
        answers = self._engine.rollouts(prompts, self._samples, key, params, ids)
        return self._count(answers, self._task.judge(prompts.state, answers.tokens))

    def _on_host(self, prompts: Prompts, key: jax.Array, params: Any, ids: Any) -> dict[str, Any]:
        """A block whose answers the host draws or judges."""
        answers, pending = answered(self._engine, self._task, prompts, self._samples, key, params, ids)
        verdict = pending()
        return self._counted(jax.device_get(answers) if self._task.judged_on_host else answers, verdict)

    def _count(self, answers: Rollouts, verdict: Verdict) -> dict[str, Any]:
        """The arrays that are returned of a block."""
        found = sums(self._task, verdict, answers)
        if self._shown:
            of_samples = answers.tokens, answers.lengths, verdict.rewards, verdict.codes
            shown = zip(SHOWN, of_samples, strict=True)
            found |= {f"shown_{name}": value[:, : self._shown] for name, value in shown}
        return found


def sums(task: Task, verdict: Verdict, answers: Rollouts) -> dict[str, Shaped[Arrays, "P ..."]]:
    """Sums over the samples of each prompt, of all but what is needed sample by sample: see `Sampler`."""
    found = {"solved": verdict.solved.astype(np.int32), "length": answers.lengths}
    found |= {name: measure.astype(np.int32) for name, measure in verdict.measures.items()}
    if task.rewards != "binary":
        found["rewards"] = verdict.rewards.astype(np.float32)
    if task.votes is not None:
        unjudged = sum((verdict.codes == task.reasons.index(name)).astype(np.int32) for name in task.unjudged)
        votes = task.votes(answers.tokens) * (1 - unjudged) - unjudged
        found |= {"votes": votes, "votes_right": verdict.solved.astype(np.int32)}
    found["entropy"] = answers.entropies
    return {name: value if name in PER_SAMPLE else value.sum(axis=1) for name, value in found.items()}


def orders(num_samples: int) -> list[int]:
    """The k of pass@k: powers of two up to the number of samples, and that number."""
    return sorted({2**j for j in range(num_samples.bit_length()) if 2**j <= num_samples} | {num_samples})


def summary(
    found: Mapping[str, np.ndarray],
    num_samples: int,
    measures: Sequence[str] = (),
    prefix: str = "eval",
    groups: Sequence[str] = (),
) -> dict[str, Any]:
    """The metrics of one evaluation.

    Args:
        found: what a `Sampler` returns.
        num_samples: n.
        measures: names of the task's measures.
        prefix: of the names, PREFIX below.
        groups: the name of each prompt's group, where they have any.

    Returns:
        PREFIX/pass@K (unbiased, mean over prompts) for K in powers of two, PREFIX/GROUP/pass@K,
        PREFIX/neg_log_pass@1 and of the largest K,
        PREFIX/MEASURE (share of the right answers that have it), PREFIX/answer_length (tokens), PREFIX/coverage (share
        of prompts solved at least once) and PREFIX/solved, the counts themselves: pass@k for every k, support and
        efficiency follow from them. With graded rewards also PREFIX/reward_mean, PREFIX/best@K (unbiased max@K of the
        reward) and PREFIX/MEASURE_pass@K; where they were found, PREFIX/entropy (nats a token) and PREFIX/majority@m
        for m = 64 and n (share of prompts whose most frequent vote of m answers is right, ties in parts).
    """
    solved, ks = found["solved"], orders(num_samples)
    curve = metrics.pass_at_k(num_samples, solved, ks).mean(axis=0)
    out: dict[str, Any] = {f"{prefix}/pass@{k}": float(value) for k, value in zip(ks, curve, strict=True)}
    for k, value in ((ks[0], curve[0]), (ks[-1], curve[-1])):
        if value > 0:
            out[f"{prefix}/neg_log_pass@{k}"] = float(abs(np.log(value)))
    for group in dict.fromkeys(groups):
        own = metrics.pass_at_k(num_samples, solved[np.asarray(groups) == group], ks).mean(axis=0)
        out |= {f"{prefix}/{group}/pass@{k}": float(value) for k, value in zip(ks, own, strict=True)}
    total = int(solved.sum())
    for name in measures:
        out[f"{prefix}/{name}"] = float(found[name].sum() / total) if total else 0.0
    out[f"{prefix}/answer_length"] = float(found["length"].sum() / (len(solved) * num_samples))
    out[f"{prefix}/coverage"] = float(np.mean(solved > 0))
    if "entropy" in found:
        out[f"{prefix}/entropy"] = float(found["entropy"].sum() / max(found["length"].sum(), 1))
    if "votes" in found:
        for n in dict.fromkeys((min(64, num_samples), num_samples)):
            won = metrics.majority_vote(found["votes"][:, :n], found["votes_right"][:, :n])
            out[f"{prefix}/majority@{n}"] = float(won.mean())
    if "rewards" in found:
        out |= _graded(found, num_samples, measures, prefix)
    out[f"{prefix}/solved"] = solved.tolist()
    return out


def _graded(
    found: Mapping[str, np.ndarray], num_samples: int, measures: Sequence[str], prefix: str
) -> dict[str, float]:
    """The part of `summary` that graded rewards add."""
    ks = orders(num_samples)
    best = np.asarray(metrics.max_at_k(found["rewards"], ks)).mean(axis=0)
    out = {f"{prefix}/reward_mean": float(found["rewards"].mean())}
    out |= {f"{prefix}/best@{k}": float(value) for k, value in zip(ks, best, strict=True)}
    for name in measures:
        curve = metrics.pass_at_k(num_samples, found[name], ks).mean(axis=0)
        out |= {f"{prefix}/{name}_pass@{k}": float(value) for k, value in zip(ks, curve, strict=True)}
    return out
