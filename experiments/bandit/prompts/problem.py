"""The prompt bandit: many prompts, one answer drawn for each, some answers correct (MaxRL in miniature).

The policy is a softmax over the answers with logits(x) = base(x) + features(x) W. The base is what pre-training
left behind; W is learned. How prompts share W decides what an objective can do:

  tabular  features are the identity: no prompt costs another anything, objectives differ in speed alone;
  linear   fewer random features than prompts: not every prompt can be solved, objectives end in different places;
  groups   prompts of a group share one row of W beside a row of their own: what is learned for one is first
           tried on its neighbours.

Every row of the features has norm one, so a prompt's own step is the same size in all three.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.bandit.prompts.draws import seed_keys
from maxrl_jax import keys

FEATURES = ("tabular", "linear", "groups")
STRATA = ((0.0, 1e-3), (1e-3, 1e-2), (1e-2, 1e-1), (1e-1, 1.0))  # initial pass rate, [low, high)


class Problem(NamedTuple):
    """P prompts, C answers, F features.

    Attributes:
      base_logits: [P, C].
      correct: [P, C] bool, at least one True in a row.
      features: [P, F].
    """

    base_logits: jax.Array
    correct: jax.Array
    features: jax.Array

    def initial_params(self) -> jax.Array:
        """W = 0, [F, C] (with the leading axes of a stack of problems)."""
        shape = (*self.features.shape[:-2], self.features.shape[-1], self.base_logits.shape[-1])
        return jnp.zeros(shape, self.base_logits.dtype)

    def logits(self, params: jax.Array) -> jax.Array:
        """[..., P, C] for W [..., F, C]."""
        return self.base_logits + self.features @ params

    def params_gradient(self, logits_gradient: jax.Array) -> jax.Array:
        """Gradient [F, C] of a sum over prompts from the gradients [P, C] with respect to each prompt's logits."""
        return jnp.swapaxes(self.features, -1, -2) @ logits_gradient


def log_pass_rates(logits: jax.Array, correct: jax.Array) -> jax.Array:
    """log p [P] = log of the mass on correct answers; exact where 1 - p or p is far below the rounding unit."""
    own = jax.nn.logsumexp(jnp.where(correct, logits, -jnp.inf), axis=-1)
    return own - jax.nn.logsumexp(logits, axis=-1)


def pass_rates(logits: jax.Array, correct: jax.Array) -> jax.Array:
    """p [P]."""
    return jnp.exp(jnp.minimum(log_pass_rates(logits, correct), 0.0))


def pass_rate_gradient(logits: jax.Array, correct: jax.Array) -> jax.Array:
    """grad p with respect to each prompt's own logits, [P, C]: pi_y (1[y correct] - p)."""
    policy = jax.nn.softmax(logits)
    p = pass_rates(logits, correct)[..., None]
    # 1 - p as the mass of the wrong answers: no cancellation as p goes to one.
    wrong = jnp.sum(jnp.where(correct, 0.0, policy), axis=-1, keepdims=True)
    return policy * jnp.where(correct, wrong, -p)


def score_norms(logits: jax.Array, correct: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(E[|S|^2 | success], E[|S|^2 | failure]), each [P], with |S_y|^2 = 1 - 2 pi_y + sum pi^2."""
    policy = jax.nn.softmax(logits)
    norms = 1 - 2 * policy + jnp.sum(policy**2, axis=-1, keepdims=True)

    def mean_over(chosen: jax.Array) -> jax.Array:
        share = jax.nn.softmax(jnp.where(chosen, logits, -jnp.inf))
        return jnp.sum(share * norms, axis=-1)

    return mean_over(correct), mean_over(~correct)


def make_problem(
    key: jax.Array,
    *,
    num_prompts: int,
    num_answers: int,
    num_correct: int = 1,
    pass_rate_range: tuple[float, float],
    features: str,
    num_features: int = 0,
    group_size: int = 1,
    shared: float = 0.0,
) -> Problem:
    """Prompts whose initial pass rates are exactly log-spaced over a range; the key is consumed.

    Of the C answers of each prompt ``num_correct`` are correct. ``num_features`` is the F of linear features;
    ``group_size``, which divides P, and ``shared``, the common row's share of the squared norm, are of groups.
    """
    rates = jnp.asarray(np.geomspace(*pass_rate_range, num_prompts), jnp.float32)
    which = jax.vmap(lambda k: jax.random.permutation(k, num_answers))(
        jax.random.split(keys.stream(key, "correct answers"), num_prompts)
    )
    correct = which < num_correct
    noise = jax.random.normal(keys.stream(key, "base logits"), (num_prompts, num_answers))

    def log_share(chosen: jax.Array) -> jax.Array:
        return jax.nn.log_softmax(jnp.where(chosen, noise, -jnp.inf), axis=-1)

    inside = jnp.log(rates)[:, None] + log_share(correct)
    base = jnp.where(correct, inside, jnp.log1p(-rates)[:, None] + log_share(~correct))
    return Problem(base, correct, make_features(key, features, num_prompts, num_features, group_size, shared))


def make_features(
    key: jax.Array, kind: str, num_prompts: int, num_features: int, group_size: int, shared: float
) -> jax.Array:
    """Rows of norm one, [P, F]; prompts i and j of one group have i = j modulo the number of groups."""
    own = jnp.eye(num_prompts)
    if kind == "tabular":
        return own
    if kind == "linear":
        drawn = jax.random.normal(keys.stream(key, "features"), (num_prompts, num_features))
        return drawn / jnp.linalg.norm(drawn, axis=-1, keepdims=True)
    if kind == "groups":
        num_groups = num_prompts // group_size
        # Consecutive prompts have similar pass rates: dealing them out puts every difficulty into each group.
        common = jax.nn.one_hot(jnp.arange(num_prompts) % num_groups, num_groups)
        return jnp.concatenate([np.sqrt(shared) * common, np.sqrt(1 - shared) * own], axis=-1)
    raise ValueError(f"unknown features {kind!r}; allowed: {', '.join(FEATURES)}")


def strata_of(rates: jax.Array | np.ndarray) -> np.ndarray:
    """Index into STRATA of each initial pass rate, [P] int."""
    edges = np.array([low for low, _ in STRATA[1:]])
    # Initial pass rates pass through float32 logits: one that stands on an edge belongs above it.
    return np.searchsorted(edges, np.asarray(rates, np.float64) * (1 + 1e-5), side="right")


def problem_settings(settings: Any) -> dict[str, Any]:
    """The keyword arguments of `make_problem` from `config.problem`."""
    return {**settings.to_dict(), "pass_rate_range": tuple(settings.pass_rate_range)}


def make_problems(config: Any, num_seeds: int) -> Problem:
    """One problem for each seed, stacked."""
    settings = problem_settings(config.problem)
    make = jax.vmap(lambda key: make_problem(keys.stream(key, "problem"), **settings))
    return jax.jit(make)(seed_keys(config.seed, num_seeds))
