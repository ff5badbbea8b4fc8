"""MaxPO's bandit experiment (its section 5.1 and appendix G.1.3): is the mean right, and how wide is the spread?

Nothing is trained: the digest of a run is of its numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from experiments.bandit import frame
from experiments.bandit.maxpo import arms, draw, exact
from experiments.bandit.maxpo.exact import ESTIMATORS
from experiments.bandit.prompts.draws import seed_keys
from maxrl_jax import advantages, keys
from maxrl_jax.advantages import Estimator
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config import checks


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
    instances, n, k = _instances(config, settings.error_actions), settings.error_rollouts, settings.error_k
    truth = jax.vmap(lambda a: (exact.max_at_k_gradient(a, k), exact.leave_one_out_bias(a, k, n)))
    gradient, leak = jax.jit(truth)(instances)
    fixed, chunk = {"estimators": estimators(k), "num_rollouts": n}, settings.error_batches_per_chunk
    in_chunks = {"num_batches": settings.error_batches, "batches_per_chunk": chunk}
    error = np.asarray(arms.error_of_mean(_draws(config, "error"), instances, gradient, **fixed, **in_chunks))
    draws = _draws(config, "variance of the error")
    variance = np.asarray(arms.total_variance(draws, instances, **fixed, num_batches=settings.variance_batches))
    bias = np.zeros((len(ESTIMATORS), settings.num_seeds, 1))
    bias[ESTIMATORS.index("ei_leave_one_out"), :, 0] = np.linalg.norm(leak, axis=-1)
    rows = frame.log_spaced_steps(error.shape[1], count)[1:]
    batches = rows * chunk
    columns = {
        "error": np.moveaxis(error[:, rows - 1], 2, 0),
        "bias": np.broadcast_to(bias, (*bias.shape[:2], len(rows))),
    }
    columns["predicted"] = np.sqrt(bias**2 + variance.T[..., None] / batches)
    return frame.tidy([{"estimator": name} for name in ESTIMATORS], columns, batches=batches)


def _variance_rows(settings: Any, values: Any, n: int, places: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A row for each place, estimator and seed from total variances [places, seeds, estimators]."""
    values = np.asarray(values).reshape(len(places), settings.num_seeds, -1)
    identities = [{"num_rollouts": n, **place, "estimator": name} for place in places for name in ESTIMATORS]
    return frame.tidy(identities, {"variance": np.moveaxis(values, 1, 2).reshape(-1, settings.num_seeds)})


def variance_over_actions(config: Any) -> pd.DataFrame:
    """Total variance over the number of actions at k = error_k: a row for each N, size, estimator and seed.

    `score_norm` is E|S|^2 = 1 - |pi|^2 of the instance.
    """
    settings, k = config.arms, config.arms.error_k
    # Instances of all sizes are padded to one, so that every size runs in one compile.
    stacks = [_instances(config, size, max(settings.actions)) for size in settings.actions]
    instances = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *stacks)
    norms = np.asarray(exact.score_norm(instances.logits)).reshape(len(settings.actions), 1, -1)
    draws = jnp.concatenate([_draws(config, f"variance {size}") for size in settings.actions])
    fixed = {"estimators": estimators(k), "num_batches": settings.variance_batches}
    found = [arms.total_variance(draws, instances, num_rollouts=n, **fixed) for n in settings.num_rollouts]
    places = [{"actions": size, "k": k} for size in settings.actions]
    rows = pd.concat(
        [_variance_rows(settings, v, n, places) for n, v in zip(settings.num_rollouts, found, strict=True)]
    )
    norms = np.broadcast_to(norms, (len(found), len(places), len(ESTIMATORS), settings.num_seeds))
    return rows.reset_index(drop=True).assign(score_norm=norms.ravel())


def variance_over_k(config: Any) -> pd.DataFrame:
    """Total variance over k at k_actions: a row for each N, k, estimator and seed; one compile for each N."""
    settings = config.arms
    instances, draws = _instances(config, settings.k_actions), _draws(config, "variance over k")
    rows = []
    for n in settings.num_rollouts:
        ks = legal_ks(settings.ks, n)
        chosen = tuple(e for k in ks for e in estimators(k))
        fixed = {"estimators": chosen, "num_batches": settings.variance_batches}
        found = np.asarray(arms.total_variance(draws, instances, num_rollouts=n, **fixed))
        found = np.moveaxis(found.reshape(settings.num_seeds, len(ks), -1), 0, 1)
        rows.append(_variance_rows(settings, found, n, [{"actions": settings.k_actions, "k": k} for k in ks]))
    return pd.concat(rows, ignore_index=True)


def train(config: Any, tell: Any = frame.quiet) -> frame.Tables:
    """Every table."""
    parts, made = (error_table, variance_over_actions, variance_over_k), {}
    for done, part in enumerate(parts, start=1):
        made[part.__name__.removesuffix("_table")] = part(config)
        tell(done, len(parts))
    return made


def metrics(made: frame.Tables) -> frame.Lines:
    """The mean error over instances at each number of batches."""
    means = made["error"].groupby(["batches", "estimator"], sort=False)["error"].mean()
    return [
        (int(batches), {f"eval/error/{name}": float(value) for (_, name), value in group.items()})
        for batches, group in means.groupby(level=0)
    ]


def figures(config: Any, made: frame.Tables) -> dict[str, Any]:
    """The paper's Figures 1, 4 and 5."""
    return {
        "maxpo_fig1": (draw.draw_figure_1, *made.values(), config.arms.error_rollouts),
        "maxpo_fig4": (draw.draw_variance, made["variance_over_actions"], "actions"),
        "maxpo_fig5": (draw.draw_variance, made["variance_over_k"], "k"),
    }


def check(config: Any) -> None:
    """Raises ConfigError for the first field that is wrong."""
    checks.positive_int(config, "arms.num_seeds")
    n = checks.integer(config, "arms.error_rollouts", 2)
    checks.integer(config, "arms.error_actions", 2)
    checks.integer(config, "arms.error_k", 1, n - 1)
    checks.integer(config, "arms.variance_batches", 2)
    checks.divides(config, "arms.error_batches_per_chunk", config.arms.error_batches, "arms.error_batches")
    checks.tuple_of(config, "arms.actions", int, low=2)
    checks.integer(config, "arms.k_actions", 2)
    sizes = checks.tuple_of(config, "arms.num_rollouts", int, low=2)
    if min(sizes) <= config.arms.error_k:
        raise ConfigError("arms.num_rollouts", sizes, f"values above arms.error_k = {config.arms.error_k}")
    if n not in sizes:
        raise ConfigError("arms.num_rollouts", sizes, f"values with arms.error_rollouts = {n} among them")
    ks = checks.tuple_of(config, "arms.ks", int, low=1)
    if min(ks) >= min(sizes):
        raise ConfigError("arms.ks", ks, f"at least one k below every N, the smallest of which is {min(sizes)}")


STUDY = frame.Study(("arms",), check, frame.ending_in_tables(train, None, figures, metrics))
