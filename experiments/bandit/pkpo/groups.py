"""PKPO's story in miniature (its section 5.2): choose k for the k you will be judged by, anneal it, unblock hard sets.

Prompts come in groups that the pre-trained model cannot tell apart: they share one base distribution over the
answers, while each has its own correct answer. W holds one row for a group and, when `shared` < 1, a weaker row for
each prompt. What drives the results:

  shared = 1: one distribution serves all prompts of a group. pass@1 is best with all mass on the answer that is
    right most often, pass@k with the mass on about the k most frequent ones: objectives differ in their optimum.
  shared < 1: prompts can be told apart, but slowly. k = 1 first concentrates the group on one answer; the
    others' pass rates fall, their N rollouts show no success, and what would teach them apart never comes.
    Larger k keeps the answers alive until the prompts' own rows have learned.

What the miniature does not show: the paper's k_opt = n suffers from its variance, and here it is the best choice for
pass@16. Some hundred prompts and a thousand small steps average the noise away; the objective is what remains.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from experiments.bandit.draws import seed_keys
from experiments.bandit.output import log_spaced_steps
from experiments.bandit.prompts import dynamics, measures
from experiments.bandit.prompts.methods import Method, Tables, estimator, in_phases
from experiments.bandit.prompts.problem import Problem, make_features
from maxrl_jax.runs import keys

TASK_SETS = ("ambiguous", "separable", "hard")


class Runs(NamedTuple):
    """Runs of every k on every task set, on the host.

    Attributes:
      names: of the methods: "k = 1", ..., "k = 8, then 1".
      log_rates: [methods, task sets, seeds, steps + 1, P].
      entropy: [methods, task sets, seeds, steps + 1].
      solved: [methods, task sets, seeds, steps] share of prompts solved at least once so far.
      params: [methods, task sets, seeds, F, C].
    """

    names: tuple[str, ...]
    log_rates: np.ndarray
    entropy: np.ndarray
    solved: np.ndarray
    params: np.ndarray


def make_groups(
    key: jax.Array,
    *,
    num_groups: int,
    group_size: int,
    num_answers: int,
    model_exponent: float,
    truth_exponent: float,
    favourites_wrong: int,
    shared: float | jax.Array,
) -> Problem:
    """Groups of prompts with one base distribution each and one correct answer for each prompt.

    The model gives the answer of rank r (in an order of its own for each group) probability proportional to
    (1 + r)^-model_exponent; a prompt's correct answer has rank r with probability proportional to
    (1 + r)^-truth_exponent, never one of the first `favourites_wrong` ranks.

    Args:
      key: random key, consumed.
      num_groups: groups; the problem has num_groups x group_size prompts, prompt i in group i mod num_groups.
      group_size: prompts in a group.
      num_answers: C.
      model_exponent: how peaked the model is.
      truth_exponent: how peaked the truth is.
      favourites_wrong: ranks that are never correct.
      shared: share of the group's row in the squared norm of the features, in [0, 1].
    """
    num_prompts = num_groups * group_size
    group = jnp.arange(num_prompts) % num_groups
    ranks = jnp.arange(num_answers)
    order_keys = jax.random.split(keys.stream(key, "order"), num_groups)
    order = jax.vmap(lambda k: jax.random.permutation(k, num_answers))(order_keys)[group]  # rank of each answer
    base = jax.nn.log_softmax(-model_exponent * jnp.log1p(ranks))[order]
    truth = jnp.where(ranks < favourites_wrong, -jnp.inf, -truth_exponent * jnp.log1p(ranks))
    rank = jax.random.categorical(keys.stream(key, "truth"), truth, shape=(num_prompts,))
    features = make_features(key, "groups", num_prompts, 0, group_size, shared)
    return Problem(base, order == rank[:, None], features)


def make_problems(config: Any) -> Problem:
    """Every task set for every seed, stacked on one leading axis: [task sets x seeds]."""
    settings = config.pkpo
    shape = {"num_groups": settings.num_groups, "group_size": settings.group_size, "num_answers": settings.num_answers}
    easy = {"model_exponent": settings.model_exponent, "truth_exponent": settings.truth_exponent, "favourites_wrong": 0}
    hard = {
        "model_exponent": settings.hard_model_exponent,
        "truth_exponent": settings.hard_truth_exponent,
        "favourites_wrong": settings.hard_favourites_wrong,
    }
    sets = [{**easy, "shared": 1.0}, {**easy, "shared": settings.shared}, {**hard, "shared": settings.shared}]
    seeds = seed_keys(config.seed, settings.num_seeds)

    def make(seeds: jax.Array) -> Problem:
        stacks = [jax.vmap(lambda k, s=s: make_groups(keys.stream(k, "problem"), **shape, **s))(seeds) for s in sets]
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *stacks)

    return jax.jit(make)(seeds)


def method_of(k: int, num_rollouts: int) -> Method:
    """PKPO's own choice: rloo for k = 1, loo_minus_one for k >= 2 (its section 5.2)."""
    if k == 1:
        return estimator("rloo", num_rollouts)
    return estimator("pkpo", num_rollouts, k=k, baseline="loo_minus_one")


def schedules(config: Any) -> tuple[tuple[str, ...], Tables]:
    """Names and tables of every constant k and of the annealed run, in two phases."""
    settings = config.pkpo
    before = [method_of(k, settings.num_rollouts) for k in (*settings.k_opt, settings.anneal_from)]
    after = [*before[:-1], method_of(1, settings.num_rollouts)]
    names = (*(f"k = {k}" for k in settings.k_opt), f"k = {settings.anneal_from}, then 1")
    return names, in_phases([(0, before), (settings.anneal_step, after)])


def run(config: Any) -> Runs:
    """Trains every k on every task set and seed, all in one compile."""
    settings = config.pkpo
    names, tables = schedules(config)
    problems = make_problems(config)
    seeds = jnp.tile(seed_keys(config.seed, settings.num_seeds), len(TASK_SETS))
    rate = settings.learning_rate
    trajectory = jax.device_get(dynamics.run_counts(problems, seeds, rate, tables, num_steps=settings.steps))

    def split(leaf: np.ndarray) -> np.ndarray:
        return leaf.reshape(leaf.shape[0], len(TASK_SETS), settings.num_seeds, *leaf.shape[2:])

    fields = (trajectory.log_rates, trajectory.entropy, trajectory.solved, trajectory.params)
    return Runs(names, *map(split, fields))


def table(runs: Runs, k_eval: tuple[int, ...], count: int = 60) -> pd.DataFrame:
    """A row for each method, task set, seed and recorded step, with pass@k for every k in k_eval."""
    num_steps = runs.log_rates.shape[-2] - 1
    steps = log_spaced_steps(num_steps, count)
    before = np.maximum(steps - 1, 0)
    frames = []
    for i, name in enumerate(runs.names):
        for j, task_set in enumerate(TASK_SETS):
            for seed in range(runs.log_rates.shape[2]):
                frame = pd.DataFrame({"method": name, "task_set": task_set, "seed": seed, "step": steps})
                for k in k_eval:
                    frame[f"pass@{k}"] = measures.pass_at_k(runs.log_rates[i, j, seed, steps], k)
                frame["entropy"] = runs.entropy[i, j, seed, steps]
                frame["solved"] = np.where(steps > 0, runs.solved[i, j, seed, before], 0.0)
                frames.append(frame)
    return pd.concat(frames, ignore_index=True)
