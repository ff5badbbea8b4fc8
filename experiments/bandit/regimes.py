"""Every method at every learning rate in every setting: one program for each N and optimizer, runs as data.

A setting is a base pass rate, its spread over the prompts (decades to either side) and the features. Rates are chosen
for each method, setting and measure on the first seed and reported on the others.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd

from experiments.bandit import frame, regimes_draw
from experiments.bandit.prompts import dynamics, gradients, problem, shared_checks
from experiments.bandit.prompts.draws import seed_keys
from experiments.bandit.prompts.problem import Problem
from experiments.results.spread import spread
from maxrl_jax import advantages, binomial, keys, objectives
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.loop import optimizer

REFILLED = "_refilled"
"""Suffix of an estimator's name: groups with K = 0 or K = N leave the batch, whose mean is over the others."""
CELL = ("optimizer", "features", "spread", "base_rate", "num_rollouts")


def settings(config: Any) -> list[tuple[str, float, float]]:
    """(features, spread, base rate) of every setting."""
    regimes = config.regimes
    return list(itertools.product(regimes.features, regimes.spreads, regimes.base_rates))


def make_problems(config: Any) -> Problem:
    """[settings, seeds] problems, all of one shape: fewer features are a matrix with columns of zeros."""
    regimes = config.regimes
    seeds, made = seed_keys(config.seed, 1 + regimes.num_seeds), []
    for kind, decades, rate in settings(config):
        # Equal rates are a range of no width, which log-spacing takes as it is.
        low, high = rate / 10**decades, min(rate * 10**decades, 0.95)
        make = functools.partial(
            problem.make_problem,
            num_prompts=regimes.num_prompts,
            num_answers=regimes.num_answers,
            pass_rate_range=(low, high),
            features=kind,
            num_features=regimes.num_features,
        )
        one = jax.vmap(make)(seeds)
        missing = regimes.num_prompts - one.features.shape[-1]
        made.append(one._replace(features=jnp.pad(one.features, ((0, 0), (0, 0), (0, missing)))))
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *made)


@functools.partial(jax.jit, static_argnames=("name", "steps", "k", "sampled"))
def race(
    problems: Problem, seeds: jax.Array, forms: jax.Array, refilled: jax.Array, rates: jax.Array, *, name: str,
    steps: tuple[int, ...], k: int, sampled: bool,
) -> jax.Array:  # fmt: skip
    """[settings, methods, rates, seeds, steps, 2]: pass@1 and pass@k after each number of steps.

    Args:
      problems: [settings, seeds].
      seeds: [seeds] keys of the rollouts.
      forms: [methods, 2, N + 1] A_success and A_fail.
      refilled: [methods] bool.
      rates: [rates] learning rates.
      name: of the optimizer; plain ascent for sgd.
      steps: after which to measure.
      k: of pass@k.
      sampled: whether rollouts are drawn; exact expected gradients otherwise.
    """
    n = forms.shape[-1] - 1

    def one(problem_: Problem, seed: jax.Array, rate: jax.Array, form: jax.Array, refill: jax.Array) -> jax.Array:
        momentum = {"sgd": 0.0, "muon": 0.95}.get(name, 0.9)
        ascent = optimizer.make(name, learning_rate=rate, momentum=momentum)

        def gradient_at(logits: jax.Array, step: jax.Array) -> jax.Array:
            if sampled:
                key = keys.stream(seed, "rollouts", step)
                estimate = gradients.from_counts(key, logits, problem_.correct, form[0], form[1])
                kept = jnp.mean(estimate.any_success - estimate.all_success)
                return estimate.gradient / jnp.where(refill, jnp.maximum(kept, 1 / len(logits)), 1.0)
            p = problem.pass_rates(logits, problem_.correct)
            weight = binomial.probabilities(p, n - 1) @ (form[0, 1:] - form[1, :-1])
            mass = binomial.probabilities(p, n)
            kept = jnp.mean(1 - mass[:, 0] - mass[:, -1])
            gradient = weight[:, None] * problem.pass_rate_gradient(logits, problem_.correct)
            return gradient / jnp.where(refill, jnp.maximum(kept, 1e-6), 1.0)

        def advance(carry: tuple[Any, Any], step: jax.Array) -> tuple[tuple[Any, Any], None]:
            params, state = carry
            up = problem_.params_gradient(gradient_at(problem_.logits(params["kernel"]), step))
            moves, state = ascent.update({"kernel": -up}, state, params)
            return (optax.apply_updates(params, moves), state), None

        params = {"kernel": problem_.initial_params()}  # the name by which muon knows a matrix
        carry, found = (params, ascent.init(params)), []
        for first, last in itertools.pairwise((0, *steps)):
            carry, _ = jax.lax.scan(advance, carry, jnp.arange(first, last))
            p = problem.pass_rates(problem_.logits(carry[0]["kernel"]), problem_.correct)
            found.append(jnp.stack([jnp.mean(p), jnp.mean(objectives.pass_at_k(p, k))]))
        return jnp.stack(found)

    def of_setting(problems: Problem) -> jax.Array:
        return dynamics.grid(one, (problems, seeds), (rates,), (forms, refilled))

    return jax.vmap(of_setting)(problems)


def train(config: Any, tell: Any = frame.quiet) -> frame.Tables:
    """For each cell, kind of gradients, measure and method its best rate on the first seed and the others' mean."""
    regimes = config.regimes
    problems, seeds = make_problems(config), seed_keys(config.seed, 1 + regimes.num_seeds)
    programs = list(itertools.product(regimes.num_rollouts, regimes.optimizers, (False, True)))
    names = tuple(regimes.methods)
    refilled = jnp.asarray([method.endswith(REFILLED) for method in names])
    rows: list[dict[str, Any]] = []
    for done, (n, name, sampled) in enumerate(programs):
        tell(done, len(programs))
        base = [advantages.get(method.removesuffix(REFILLED)) for method in names]
        forms = jnp.asarray(np.stack([np.stack(objectives.binary_form(method, n)) for method in base]), jnp.float32)
        rates = np.asarray(regimes.rates[name])
        found = race(
            problems, seeds, forms, refilled, jnp.asarray(rates, jnp.float32),
            name=name, steps=tuple(regimes.steps), k=regimes.k, sampled=sampled,
        )  # fmt: skip
        for (kind, decades, rate), of_setting in zip(settings(config), np.asarray(found, np.float64), strict=True):
            cell = dict(zip(CELL, (name, kind, decades, rate, n), strict=True))
            cell["gradients"] = "sampled" if sampled else "exact"
            for (at, steps), (m, measure) in itertools.product(enumerate(regimes.steps), enumerate((1, regimes.k))):
                values = of_setting[..., at, m]  # [methods, rates, seeds]
                for method, own in zip(names, values, strict=True):
                    best = int(np.argmax(own[:, 0]))
                    inner = 1 if best == 0 else len(rates) - 2 if best == len(rates) - 1 else best
                    mean, error, _ = spread(own[best, 1:])
                    row = {**cell, "steps": steps, "pass_at": measure, "method": method, "rate": rates[best]}
                    row["at_end"] = bool(own[best, 0] > own[inner, 0] + 0.01)
                    rows.append(row | {"mean": round(float(mean), 4), "standard_error": round(float(error), 4)})
    table = pd.DataFrame(rows)
    return {"best": table, "ahead": ahead(table)}


def ahead(table: pd.DataFrame) -> pd.DataFrame:
    """The method ahead in each cell and measure, its lead over the second, and whether it is within two errors."""
    keys_ = [*CELL, "gradients", "steps", "pass_at"]
    rows = []
    for values, group in table.groupby(keys_, sort=False):
        first, second = (row for _, row in group.sort_values("mean", ascending=False).head(2).iterrows())
        error = float(np.hypot(first.standard_error, second.standard_error))
        lead = first["mean"] - second["mean"]
        row = dict(zip(keys_, values, strict=True))
        rows.append(
            row | {"ahead": first.method, "mean": first["mean"], "lead": lead, "tie": lead <= max(2 * error, 0.01)}
        )
    return pd.DataFrame(rows)


def figures(config: Any, made: frame.Tables) -> dict[str, Any]:
    """A figure for each kind of features."""
    drawn = regimes_draw.draw_regimes
    return {f"regimes_{features}": (drawn, made["ahead"], features) for features in config.regimes.features}


def check(config: Any) -> None:
    """Raises ConfigError for the first field that is wrong."""
    regimes = config.regimes
    for key in ("num_prompts", "num_answers", "num_features"):
        checks.integer(config, f"regimes.{key}", 2)
    for key in ("k", "num_seeds"):
        checks.positive_int(config, f"regimes.{key}")
    if regimes.num_features > regimes.num_prompts:
        raise ConfigError("regimes.num_features", regimes.num_features, "at most regimes.num_prompts")
    steps = checks.tuple_of(config, "regimes.steps", int, low=1)
    if list(steps) != sorted(set(steps)):
        raise ConfigError("regimes.steps", steps, "increasing numbers of steps")
    checks.tuple_of(config, "regimes.spreads", float)
    rates = checks.tuple_of(config, "regimes.base_rates", float)
    if not 0 < min(rates) <= max(rates) < 0.95:
        raise ConfigError("regimes.base_rates", rates, "rates above 0 and below 0.95")
    for name in checks.tuple_of(config, "regimes.features", str):
        if name not in ("tabular", "linear"):
            raise ConfigError("regimes.features", name, f"tabular or linear, of {', '.join(problem.FEATURES)}")
    for name in checks.tuple_of(config, "regimes.optimizers", str):
        if name not in regimes.rates:
            raise ConfigError("regimes.optimizers", name, f"one of {', '.join(regimes.rates)}")
        rates = checks.tuple_of(config, f"regimes.rates.{name}", float, min_length=4)
        if min(rates) <= 0 or list(rates) != sorted(set(rates)):
            raise ConfigError(f"regimes.rates.{name}", rates, "at least four increasing positive rates")
    sizes = checks.tuple_of(config, "regimes.num_rollouts", int, low=2)
    shared_checks.binary_estimators(config, "regimes.methods", sizes, REFILLED)


STUDY = frame.Study(("regimes",), check, frame.ending_in_tables(train, None, figures))
