"""Evaluation: many samples of every prompt in chunks of bounded memory, and unbiased pass@k and best@k.

Letters: P prompts, n samples of each, T answer tokens.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int, Shaped

from maxrl_jax import metrics
from maxrl_jax.devices.data_parallel import Share, over_batch
from maxrl_jax.lm import rollout
from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.task import Arrays, Prompts, Task, Verdict

PER_SAMPLE = ("rewards", "votes", "votes_right")
"""Arrays of `sample` with an entry for each answer; the others are sums over the answers to a prompt."""


def sample(
    policy: Policy,
    task: Task,
    params: Any,
    prompts: Prompts,
    key: jax.Array,
    num_samples: int,
    sampling: rollout.Settings,
    *,
    ids: Int[Array, " P"] | None = None,
    max_rows: int | None = None,
) -> dict[str, Shaped[Array, "P ..."]]:
    """Draws and judges `num_samples` answers to each of P prompts.

    Args:
        policy: without its parameters.
        task: judges the answers.
        params: of the policy.
        prompts: P of them.
        key: consumed.
        num_samples: n of each prompt.
        sampling: how answers are drawn.
        ids: the prompts' numbers, which the keys of their answers follow; 0 .. P-1 by default.
        max_rows: answers drawn at a time.

    Returns:
        Sums over the samples of each prompt, int32 [P]: solved, length (tokens) and every measure of the task; float32
        [P]: entropy (nats) of the distributions that tokens were drawn from. Of each sample [P, n]: rewards, float32,
        where they are graded; votes and whether they are right, where the task has votes.
    """

    def judged(answers: rollout.Rollouts, state: Any) -> dict[str, Shaped[Array, "P n"]]:
        found = of_samples(task, task.judge(state, answers.tokens), answers.tokens, answers.lengths)
        return found | {"entropy": answers.entropies.sum(-1)}

    found = rollout.map_rollouts(
        judged,
        policy.model(params),
        prompts.tokens,
        key,
        num_samples,
        sampling,
        inputs=prompts.state,
        prompt_lengths=prompts.lengths,
        prompt_ids=ids,
        max_rows=max_rows,
    )
    return summed(found)


class Sampler:
    """`sample` on every device: ``sampler(params, key) -> {name: NumPy array}``; compiled at its first call.

    The arguments are those of `maxrl_jax.lm.engine.make_sampler`.
    """

    def __init__(
        self,
        policy: Policy,
        task: Task,
        prompts: Prompts,
        num_samples: int,
        sampling: rollout.Settings,
        mesh: Mesh | None,
        max_rows: int,
    ):
        self._count = len(prompts)
        # Every device gets as many prompts; the last ones repeat the first and are cut off.
        devices = mesh.size if mesh else 1
        self._prompts = prompts.at(np.arange(-(-self._count // devices) * devices) % self._count)

        def of_share(share: Share, params: Any, key: jax.Array, prompts: Prompts) -> dict[str, jax.Array]:
            ids = share.ids(len(prompts))
            own = prompts.at(ids)
            return sample(policy, task, params, own, key, num_samples, sampling, ids=ids, max_rows=max_rows)

        self._sample = jax.jit(functools.partial(over_batch, of_share, mesh, params=1, batch_outputs=True))

    def __call__(self, params: Any, key: jax.Array) -> dict[str, np.ndarray]:
        """Draws and judges the answers; consumes the key."""
        found = jax.device_get(self._sample(params, key, self._prompts))
        return {name: np.asarray(value)[: self._count] for name, value in found.items()}


def draw(
    policy: Policy,
    params: Any,
    prompts: Prompts,
    key: jax.Array,
    num_samples: int,
    sampling: rollout.Settings,
    *,
    ids: Int[Array, " P"] | None = None,
    max_rows: int | None = None,
) -> dict[str, Shaped[Array, "P n ..."]]:
    """The half of `sample` that needs no judge: tokens [P, n, T], length and entropy [P, n] of the answers."""
    return rollout.map_rollouts(
        lambda answers, _: kept(answers),
        policy.model(params),
        prompts.tokens,
        key,
        num_samples,
        sampling,
        prompt_lengths=prompts.lengths,
        prompt_ids=ids,
        max_rows=max_rows,
    )


def kept(answers: rollout.Rollouts) -> dict[str, Shaped[Arrays, "P n ..."]]:
    """The arrays of answers that `draw` returns."""
    return {"tokens": answers.tokens, "length": answers.lengths, "entropy": answers.entropies.sum(-1)}


def of_samples(
    task: Task, verdict: Verdict, answers: Int[Arrays, "P n T"], lengths: Int[Arrays, "P n"]
) -> dict[str, Shaped[Arrays, "P n"]]:
    """The numbers kept for each answer, by name."""
    kept = {"solved": verdict.solved.astype(np.int32), "length": lengths}
    kept |= {name: measure.astype(np.int32) for name, measure in verdict.measures.items()}
    if task.rewards != "binary":
        kept["rewards"] = verdict.rewards.astype(np.float32)
    if task.votes is not None:
        unjudged = sum((verdict.codes == task.reasons.index(name)).astype(np.int32) for name in task.unjudged)
        votes = task.votes(answers) * (1 - unjudged) - unjudged
        kept |= {"votes": votes, "votes_right": verdict.solved.astype(np.int32)}
    return kept


def summed(found: Mapping[str, Any]) -> dict[str, Any]:
    """Sums over the samples of each prompt, of all but what is needed sample by sample."""
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
        found: what `sample` returns, on the host.
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
