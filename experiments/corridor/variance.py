"""Total variance of two estimators of grad max@k at the same policy, on the same episodes (MaxPO eq. 125).

Both are unbiased for grad max@k, which the corridor has in closed form, so the total variance (the trace of the
covariance, over all parameters) is E|ghat - grad max@k|^2 with an exact centre: an average of squares over M batches,
unbiased at any M. The expectation itself is estimated by drawing M batches; the ratio of two estimators on the same
batches is much less noisy than either.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from experiments.corridor import environment, gradient
from experiments.corridor.environment import Corridor, Params
from maxrl_jax.advantages import Estimator


@partial(jax.jit, static_argnames=("estimators", "k", "num_rollouts", "num_batches"))
def total_variances(
    key: jax.Array,
    params: Params,
    corridor: Corridor,
    *,
    estimators: tuple[Estimator, ...],
    k: int,
    num_rollouts: int,
    num_batches: int,
) -> jax.Array:
    """Total variance [seeds, estimators] of unbiased estimators of grad max@k, each at the parameters of every seed.

    The standard error falls as 1/sqrt(num_batches).
    """

    def one_policy(key: jax.Array, params: Params) -> jax.Array:
        exact = jax.grad(environment.max_at_k)(params, corridor, k)

        def add(total: jax.Array, batch: jax.Array) -> tuple[jax.Array, None]:
            draw = jax.random.fold_in(key, batch)
            episodes = environment.sample_episodes(draw, params, corridor, num_rollouts)

            def squared_error(estimator: Estimator) -> jax.Array:
                weights = estimator(episodes.returns) / num_rollouts
                estimate = gradient.weighted_score(params, corridor, episodes, weights)
                errors = jax.tree.map(lambda e, g: jnp.sum((e - g) ** 2), estimate, exact)
                return jnp.sum(jnp.stack(jax.tree.leaves(errors)))

            return total + jnp.stack([squared_error(e) for e in estimators]), None

        total, _ = jax.lax.scan(add, jnp.zeros(len(estimators)), jnp.arange(num_batches))
        return total / num_batches

    seeds = params["bias"].shape[0]
    return jax.vmap(one_policy)(jax.random.split(key, seeds), params)
