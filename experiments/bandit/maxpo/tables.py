"""MaxPO's bandit experiment (its section 5.1 and appendix G.1.3): is the mean right, and how wide is the spread?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from experiments.bandit.draws import seed_keys
from experiments.bandit.maxpo import arms, exact
from experiments.bandit.output import log_spaced_steps
from maxrl_jax import advantages, keys
from maxrl_jax.advantages import Estimator

ESTIMATORS = ("expected_improvement", "maxpo", "ei_leave_one_out")  # the paper's EI, EI+L2O, EI+L1O


def estimators(k: int) -> tuple[Estimator, ...]:
    """The three estimators of max@k."""
    return tuple(advantages.get(name, k=k) for name in ESTIMATORS)


def legal_ks(ks: tuple[int, ...], num_rollouts: int) -> tuple[int, ...]:
    """Those that leave every estimator a comparison set, 1 <= k <= N - 1."""
    return tuple(k for k in ks if 1 <= k <= num_rollouts - 1)


def _instances(config: Any, num_actions: int, padded_to: int | None = None) -> arms.Arms:
    """One instance for each seed."""
    seeds = seed_keys(config.seed, config.arms.num_seeds)
    make = jax.vmap(lambda k: arms.make_arms(keys.stream(k, f"arms {num_actions}"), num_actions, padded_to))
    return jax.jit(make)(seeds)


def _draws(config: Any, name: str) -> jax.Array:
    return jax.vmap(lambda k: keys.stream(k, name))(seed_keys(config.seed, config.arms.num_seeds))


def error_table(config: Any, count: int = 40) -> pd.DataFrame:
    """Error of the mean over M batches, with what theory says it is: a row for each estimator, seed and M.

    Columns beside `error`: `bias`, the norm of the exact bias (0 but for ei_leave_one_out), and `predicted` =
    sqrt(bias^2 + variance / M), the root mean square of the error.
    """
    settings = config.arms
    instances = _instances(config, settings.error_actions)
    chosen, n, k = estimators(settings.error_k), settings.error_rollouts, settings.error_k
    truth = jax.vmap(lambda a: (exact.max_at_k_gradient(a, k), exact.leave_one_out_bias(a, k, n)))
    gradient, leak = jax.jit(truth)(instances)
    error = np.asarray(
        arms.error_of_mean(
            _draws(config, "error"),
            instances,
            gradient,
            estimators=chosen,
            num_rollouts=n,
            num_batches=settings.error_batches,
            batches_per_chunk=settings.error_batches_per_chunk,
        )
    )
    bias = np.zeros((settings.num_seeds, len(ESTIMATORS)))
    bias[:, ESTIMATORS.index("ei_leave_one_out")] = np.linalg.norm(leak, axis=-1)
    variance = np.asarray(
        arms.total_variance(
            _draws(config, "variance of the error"),
            instances,
            estimators=chosen,
            num_rollouts=n,
            num_batches=settings.variance_batches,
        )
    )
    rows = log_spaced_steps(error.shape[1], count)[1:]
    batches = rows * settings.error_batches_per_chunk
    frames = []
    for e, name in enumerate(ESTIMATORS):
        for seed in range(settings.num_seeds):
            predicted = np.sqrt(bias[seed, e] ** 2 + variance[seed, e] / batches)
            columns = {"estimator": name, "seed": seed, "batches": batches, "error": error[seed, rows - 1, e]}
            frames.append(pd.DataFrame({**columns, "bias": bias[seed, e], "predicted": predicted}))
    return pd.concat(frames, ignore_index=True)


def _variance_rows(values: np.ndarray, **columns: Any) -> list[dict[str, Any]]:
    """One row for each seed [seeds] of total variances."""
    return [{**columns, "seed": seed, "variance": value} for seed, value in enumerate(values)]


def variance_over_actions(config: Any) -> pd.DataFrame:
    """Total variance over the number of actions at k = error_k: a row for each N, size, estimator and seed.

    `score_norm` is E|S|^2 = 1 - |pi|^2 of the instance.
    """
    settings = config.arms
    largest = max(settings.actions)
    # Instances of all sizes are padded to one, so that every size runs in one compile.
    stacks = [_instances(config, size, largest) for size in settings.actions]
    instances = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *stacks)
    norms = np.asarray(exact.score_norm(instances.logits)).reshape(len(settings.actions), -1)
    draws = jnp.concatenate([_draws(config, f"variance {size}") for size in settings.actions])
    rows: list[dict[str, Any]] = []
    for n in settings.num_rollouts:
        found = arms.total_variance(
            draws,
            instances,
            estimators=estimators(settings.error_k),
            num_rollouts=n,
            num_batches=settings.variance_batches,
        )
        values = np.asarray(found).reshape(len(settings.actions), settings.num_seeds, -1)
        for i, size in enumerate(settings.actions):
            for e, name in enumerate(ESTIMATORS):
                columns = {"num_rollouts": n, "actions": size, "k": settings.error_k, "estimator": name}
                more = _variance_rows(values[i, :, e], **columns)
                rows += [{**row, "score_norm": norms[i, row["seed"]]} for row in more]
    return pd.DataFrame(rows)


def variance_over_k(config: Any) -> pd.DataFrame:
    """Total variance over k at k_actions: a row for each N, k, estimator and seed; one compile for each N."""
    settings = config.arms
    instances = _instances(config, settings.k_actions)
    rows: list[dict[str, Any]] = []
    for n in settings.num_rollouts:
        ks = legal_ks(settings.ks, n)
        found = arms.total_variance(
            _draws(config, "variance over k"),
            instances,
            estimators=tuple(e for k in ks for e in estimators(k)),
            num_rollouts=n,
            num_batches=settings.variance_batches,
        )
        values = np.asarray(found).reshape(settings.num_seeds, len(ks), len(ESTIMATORS))
        for i, k in enumerate(ks):
            for e, name in enumerate(ESTIMATORS):
                columns = {"num_rollouts": n, "actions": settings.k_actions, "k": k, "estimator": name}
                rows += _variance_rows(values[:, i, e], **columns)
    return pd.DataFrame(rows)
