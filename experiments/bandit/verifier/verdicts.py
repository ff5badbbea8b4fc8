"""Learning from verdicts: a wrong answer is accepted with chance a, a right one rejected with chance b.

Answer and verdict together are one draw from twice as many outcomes, so that the sampled gradient is the one of
binary rewards, and the expected one is (1-a-b) w(a + (1-a-b) p) grad p (docs/theory.md, section 5.5). Pass rates are
always those of right answers, whatever the verifier says.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from experiments.bandit.draws import seed_keys
from experiments.bandit.prompts import dynamics, gradients
from experiments.bandit.prompts.methods import Method, Tables, estimator, exact, tables
from experiments.bandit.prompts.problem import Problem, make_problems, pass_rate_gradient, pass_rates
from experiments.bandit.prompts.variance import prompts_at
from maxrl_jax import objectives
from maxrl_jax.runs import keys


class Runs(NamedTuple):
    """All runs, on the host.

    Attributes:
      identities: of every run: method, label, num_rollouts, gradients, false_positive, false_negative.
      initial: [P] pass rates before training.
      final: [runs, seeds, P] pass rates after it.
      params: [runs, seeds, F, C].
    """

    identities: list[dict[str, Any]]
    initial: np.ndarray
    final: np.ndarray
    params: np.ndarray


def sampled(
    key: jax.Array, problem: Problem, logits: jax.Array, form: tuple[jax.Array, jax.Array], a: Any, b: Any
) -> gradients.Estimate:
    """(1/N) sum_i A_i S_i of every prompt with A from N drawn verdicts; successes are accepted answers.

    Args:
      key: random key, consumed.
      problem: P prompts, C answers.
      logits: [P, C].
      form: A_success and A_fail, each [N + 1], over the number of accepted answers.
      a: chance that a wrong answer is accepted.
      b: chance that a right one is rejected.
    """
    accepting = jnp.where(problem.correct, 1 - b, a)
    pairs = jnp.concatenate([logits + jnp.log(accepting), logits + jnp.log1p(-accepting)], axis=-1)
    accepted = jnp.broadcast_to(jnp.arange(pairs.shape[-1]) < logits.shape[-1], pairs.shape)
    found = gradients.from_counts(key, pairs, accepted, *form)
    # Both outcomes of an answer move with its own logit.
    return found._replace(gradient=found.gradient.reshape(*logits.shape[:-1], 2, -1).sum(-2))


def expected_weight(method: Method, p: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
    """(1-a-b) w(a + (1-a-b) p), `objectives.effective_weight` with error rates that may be traced."""
    return (1 - a - b) * method.weight(jnp.minimum(a + (1 - a - b) * p, 1))


@functools.partial(jax.jit, static_argnames=("methods", "num_steps"))
def run_expected(
    problems: Problem, rate: Any, errors: jax.Array, *, methods: tuple[Method, ...], num_steps: int
) -> dynamics.Trajectory:
    """Noise-free runs, [methods, errors, seeds], of stacked problems; ``errors`` [errors, 2] holds (a, b)."""
    a, b = (column[:, None, None] for column in errors.T)

    def gradient_of(step: jax.Array, logits: jax.Array) -> gradients.Estimate:
        p = pass_rates(logits, problems.correct)  # [methods, errors, seeds, P]
        weights = [expected_weight(method, own, a, b) for method, own in zip(methods, p, strict=True)]
        return gradients.expected(logits, problems.correct, jnp.stack(weights), 1)

    start = dynamics.initial_state(problems)
    start = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(methods), len(errors), *leaf.shape)), start)
    return dynamics.roll(problems, start, gradient_of, num_steps, rate)


@functools.partial(jax.jit, static_argnames=("num_steps",))
def run_sampled(
    problems: Problem, seeds: jax.Array, rate: Any, errors: jax.Array, forms: Tables, *, num_steps: int
) -> dynamics.Trajectory:
    """Runs on drawn verdicts, [methods, errors, seeds], of methods with one N; all of a seed share keys."""

    def one(problem: Problem, seed: jax.Array, error: jax.Array, success: jax.Array, fail: jax.Array):
        def gradient_of(step: jax.Array, logits: jax.Array) -> gradients.Estimate:
            key = keys.stream(seed, "rollouts", step)
            return sampled(key, problem, logits, (success[0], fail[0]), error[0], error[1])

        return dynamics.roll(problem, dynamics.initial_state(problem), gradient_of, num_steps, rate)

    over_seeds = jax.vmap(one, in_axes=(0, 0, None, None, None))
    over_errors = jax.vmap(over_seeds, in_axes=(None, None, 0, None, None))
    return jax.vmap(over_errors, in_axes=(None, None, None, 0, 0))(problems, seeds, errors, forms.success, forms.fail)


def run(config: Any) -> Runs:
    """Trains every method under every verifier: exact maximum likelihood, then estimators noise-free and sampled."""
    settings, seeds = config.verifier, seed_keys(config.seed, config.verifier.num_seeds)
    problems, rate, steps = make_problems(config, settings.num_seeds), settings.learning_rate, settings.steps
    errors = jnp.asarray(settings.errors, jnp.float32)
    families = [tuple(estimator(name, n) for name in settings.estimators) for n in settings.num_rollouts]
    noise_free = (exact("ml"), *sum(families, ()))
    found = [run_expected(problems, rate, errors, methods=noise_free, num_steps=steps)]
    found += [run_sampled(problems, seeds, rate, errors, tables(family), num_steps=steps) for family in families]
    drawn = [(method, "sampled") for method in sum(families, ())]
    identities = [
        {
            "method": method.name,
            "label": method.label,
            "num_rollouts": method.num_rollouts,
            "gradients": gradients_,
            "false_positive": a,
            "false_negative": b,
        }
        for method, gradients_ in [*((method, "expected") for method in noise_free), *drawn]
        for a, b in settings.errors
    ]
    last = [jax.device_get((part.log_rates[..., -1, :], part.params)) for part in found]
    rates, params = (
        np.concatenate([leaf.reshape(-1, *leaf.shape[2:]) for leaf in part]) for part in zip(*last, strict=True)
    )
    initial = np.geomspace(*config.problem.pass_rate_range, config.problem.num_prompts)
    return Runs(identities, initial, np.exp(rates), params)


def by_prompt(runs: Runs) -> pd.DataFrame:
    """A row for each run, seed and prompt: true pass rate before and after training."""
    frames = []
    for identity, final in zip(runs.identities, runs.final, strict=True):
        for seed, rates in enumerate(final):
            frames.append(pd.DataFrame({**identity, "seed": seed, "initial": runs.initial, "final": rates}))
    return pd.concat(frames, ignore_index=True)


def reach(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each run and seed: the share of prompts that end above 1/2, and the initial rate it reaches down to.

    Initial rates are log-spaced, so that the share s solved reads as the rate high (low/high)^s.
    """
    by = [name for name in table if name not in ("initial", "final")]
    solved = table.assign(solved=table.final >= 0.5).groupby(by, sort=False, dropna=False).solved.mean().reset_index()
    low, high = table.initial.min(), table.initial.max()
    return solved.assign(reach=high * (low / high) ** solved.solved)


def weights(config: Any, num_batches: int) -> pd.DataFrame:
    """The weight of the first estimator at the largest N, exact and measured on drawn verdicts, over pass rates."""
    settings, n = config.verifier, max(config.verifier.num_rollouts)
    method, rates = estimator(settings.estimators[0], n), np.geomspace(0.01, 0.5, 8)
    key = jax.random.key(config.seed)
    problem = prompts_at(keys.stream(key, "prompts"), rates, config.problem.num_answers)
    success, fail = (jnp.asarray(leaf, jnp.float32) for leaf in objectives.binary_form(method.advantage, n))
    slope = pass_rate_gradient(problem.base_logits, problem.correct)

    @jax.jit
    def along(keys_: jax.Array, a: Any, b: Any) -> jax.Array:
        """[batches, P] the estimate's component along grad p, in units of its length."""

        def one(key: jax.Array) -> jax.Array:
            found = sampled(key, problem, problem.base_logits, (success, fail), a, b).gradient
            return jnp.sum(found * slope, -1) / jnp.sum(slope**2, -1)

        return jax.lax.map(one, keys_, batch_size=min(250, num_batches))

    frames = []
    for a, b in settings.errors:
        values = np.asarray(along(jax.random.split(keys.stream(key, f"verdicts {a} {b}"), num_batches), a, b))
        exactly = objectives.effective_weight(method.advantage, rates, n, false_positive=a, false_negative=b)
        columns = {"false_positive": a, "false_negative": b, "pass_rate": rates, "weight": exactly}
        measured = {"measured": values.mean(0), "standard_error": values.std(0, ddof=1) / np.sqrt(num_batches)}
        frames.append(pd.DataFrame({"label": method.label, **columns, **measured}))
    return pd.concat(frames, ignore_index=True)
