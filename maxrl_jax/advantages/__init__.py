"""Advantage estimators: pure functions of the rewards of a group, one name per formula.

`get(name, **hyper)` returns ``f(rewards [*batch, N]) -> advantages [*batch, N]``; the gradient estimate is
``(1/N) sum_i A_i S_i``. `TABLE` lists every estimator; each is also importable under its own name.
"""

from maxrl_jax.advantages.conditioned import differential_smoothing, self_masked
from maxrl_jax.advantages.likelihood import (
    maxrl,
    maxrl_order,
    maxrl_unbiased,
    mixture,
    one_sided_grpo,
    success_mean,
    tailrl,
)
from maxrl_jax.advantages.likelihood_rewards import maxrl_likelihood
from maxrl_jax.advantages.max_at_k import bagirov, chen, ei_leave_one_out, expected_improvement, maxpo, pkpo
from maxrl_jax.advantages.partitioned import partitioned
from maxrl_jax.advantages.pointwise import grpo, mean_baseline, reinforce, rloo
from maxrl_jax.advantages.table import TABLE, Advantage, Entry, get, names

__all__ = [
    "TABLE",
    "Advantage",
    "Entry",
    "bagirov",
    "chen",
    "differential_smoothing",
    "ei_leave_one_out",
    "expected_improvement",
    "get",
    "grpo",
    "maxpo",
    "maxrl",
    "maxrl_likelihood",
    "maxrl_order",
    "maxrl_unbiased",
    "mean_baseline",
    "mixture",
    "names",
    "one_sided_grpo",
    "partitioned",
    "pkpo",
    "reinforce",
    "rloo",
    "self_masked",
    "success_mean",
    "tailrl",
]
