"""Evaluation: many samples of every prompt in chunks of bounded memory, and unbiased pass@k and best@k."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maxrl_jax import metrics
from maxrl_jax.lm import rollout
from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.task import Prompts, Task


def sample(
    policy: Policy,
    task: Task,
    params: Any,
    prompts: Prompts,
    key: jax.Array,
    num_samples: int,
    sampling: rollout.Settings,
    *,
    ids: jax.Array | None = None,
    max_rows: int | None = None,
) -> dict[str, jax.Array]:
    """Draws and judges `num_samples` answers to each of M prompts.

    Args:
        policy: without its parameters.
        task: judges the answers.
        params: of the policy.
        prompts: M of them.
        key: consumed.
        num_samples: n of each prompt.
        sampling: how answers are drawn.
        ids: int32 [M], the prompts' numbers, which the keys of their answers follow; 0 .. M-1 by default.
        max_rows: answers drawn at a time.

    Returns:
        Sums over the samples of each prompt, int32 [M]: solved, length (tokens) and every measure of the task; with
        graded rewards also rewards, float32 [M, n].
    """

    def judged(answers: rollout.Rollouts, state: Any) -> dict[str, jax.Array]:
        verdict = task.judge(state, answers.tokens)
        kept = {"solved": verdict.solved.astype(jnp.int32), "length": answers.lengths}
        kept |= {name: measure.astype(jnp.int32) for name, measure in verdict.measures.items()}
        return kept if task.rewards == "binary" else kept | {"rewards": verdict.rewards.astype(jnp.float32)}

    found = rollout.map_rollouts(
        judged,
        policy.sampler(params),
        prompts.tokens,
        key,
        num_samples,
        sampling,
        inputs=prompts.state,
        prompt_ids_P=ids,
        max_rows=max_rows,
    )
    return {name: value if name == "rewards" else jnp.sum(value, axis=1) for name, value in found.items()}


def orders(num_samples: int) -> list[int]:
    """The k of pass@k: powers of two up to the number of samples, and that number."""
    return sorted({2**j for j in range(num_samples.bit_length()) if 2**j <= num_samples} | {num_samples})


def summary(
    found: Mapping[str, np.ndarray], num_samples: int, measures: Sequence[str] = (), prefix: str = "eval"
) -> dict[str, Any]:
    """What one evaluation logs.

    Args:
        found: what `sample` returns, on the host.
        num_samples: n.
        measures: names of the task's measures.
        prefix: of the names, PREFIX below.

    Returns:
        PREFIX/pass@K (unbiased, mean over prompts) for K in powers of two, PREFIX/neg_log_pass@1 and of the largest K,
        PREFIX/MEASURE (share of the right answers that have it), PREFIX/answer_length (tokens), PREFIX/coverage (share
        of prompts solved at least once) and PREFIX/solved, the counts themselves: pass@k for every k, support and
        efficiency follow from them. With graded rewards also PREFIX/reward_mean, PREFIX/best@K (unbiased max@K of the
        reward) and PREFIX/MEASURE_pass@K.
    """
    solved, ks = found["solved"], orders(num_samples)
    curve = metrics.pass_at_k(num_samples, solved, ks).mean(axis=0)
    out: dict[str, Any] = {f"{prefix}/pass@{k}": float(value) for k, value in zip(ks, curve, strict=True)}
    for k, value in ((ks[0], curve[0]), (ks[-1], curve[-1])):
        if value > 0:
            out[f"{prefix}/neg_log_pass@{k}"] = float(-np.log(value))
    total = int(solved.sum())
    for name in measures:
        out[f"{prefix}/{name}"] = float(found[name].sum() / total) if total else 0.0
    out[f"{prefix}/answer_length"] = float(found["length"].sum() / (len(solved) * num_samples))
    out[f"{prefix}/coverage"] = float(np.mean(solved > 0))
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
