"""The same number of rollouts a step, P prompts x N rollouts: the value of each split and the parts of its loss.

A step takes P of the M prompts, drawn without repetition, and moves W by learning_rate times M/P times the sum over
them: in expectation the sum over all M, so that splits differ in three things alone, which three kinds of gradients
take apart:

  expected  every prompt, exact weight: what N costs, the distance of the objective at N from log p;
  prompts   P drawn prompts, exact weight on each: that and the noise of having few prompts;
  sampled   P drawn prompts, N drawn rollouts of each: the whole.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import pandas as pd
from matplotlib.axes import Axes

from experiments.bandit import frame
from experiments.bandit.frame import tidy
from experiments.bandit.prompts import dynamics, gradients, measures, methods, shared_checks
from experiments.bandit.prompts.draws import seed_keys
from experiments.bandit.prompts.dynamics import Runs
from experiments.bandit.prompts.methods import Method, estimator, exact
from experiments.bandit.prompts.problem import Problem, make_problems, pass_rates
from experiments.results import band
from experiments.results.drawing import Drawing
from experiments.results.spread import over_seeds
from experiments.results.style import COLOURS, LABELS, from_zero, new_figure, shades
from maxrl_jax import keys
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config import checks

GRADIENTS = ("expected", "prompts", "sampled")


def splits(config: Any) -> list[tuple[int, int, int]]:
    """(budget, P, N) of every possible split: P = budget / N is whole and at most the number of prompts."""
    settings, most = config.split, config.problem.num_prompts
    every = [(budget, n) for n in settings.num_rollouts for budget in settings.rollouts_a_step]
    return [(budget, budget // n, n) for budget, n in every if budget % n == 0 and 1 <= budget // n <= most]


def on_some(estimate: gradients.Estimate, key: jax.Array, prompts_a_step: Any) -> gradients.Estimate:
    """An estimate of every prompt, kept on P of the M prompts, M/P times, and nothing on the others; key consumed.

    P may be traced: the same program serves every split.
    """
    num_prompts = estimate.reward_mean.shape[-1]
    taken = (jax.random.permutation(key, num_prompts) < prompts_a_step).astype(estimate.gradient.dtype)
    scaled = estimate.gradient * (taken * num_prompts / prompts_a_step)[:, None]
    return gradients.Estimate(scaled, *(leaf * taken for leaf in estimate[1:]))


@functools.partial(jax.jit, static_argnames=("methods", "num_steps"))
def run_exact(
    problems: Problem, seeds: jax.Array, rate: Any, prompts_a_step: Any, *, methods: tuple[Method, ...], num_steps: int
) -> dynamics.Trajectory:
    """Exact weights on P drawn prompts, [runs, seeds]; run r is methods[r] with P = prompts_a_step[r]."""

    def gradient_of(step: jax.Array, logits: jax.Array) -> gradients.Estimate:
        p = pass_rates(logits, problems.correct)  # [runs, seeds, M]
        weights = jnp.stack([method.weight(own) for method, own in zip(methods, p, strict=True)])
        every = gradients.expected(logits, problems.correct, weights, 1)
        streams = jax.vmap(lambda seed: keys.stream(seed, "prompts", step))(seeds)
        over_seeds = jax.vmap(on_some, in_axes=(0, 0, None))
        return jax.vmap(over_seeds, in_axes=(0, None, 0))(every, streams, prompts_a_step)

    return dynamics.roll(problems, dynamics.initial_state(problems, len(methods)), gradient_of, num_steps, rate)


@functools.partial(jax.jit, static_argnames=("num_steps",))
def run_sampled(
    problems: Problem, seeds: jax.Array, rate: Any, forms: methods.Tables, prompts_a_step: jax.Array, *, num_steps: int
) -> dynamics.Trajectory:
    """N drawn rollouts of P drawn prompts, [methods, splits, seeds], for methods with one N."""

    def one(problem: Problem, seed: jax.Array, prompts_a_step: jax.Array, success: jax.Array, fail: jax.Array):
        def gradient_of(step: jax.Array, logits: jax.Array) -> gradients.Estimate:
            key = keys.stream(seed, "rollouts", step)
            every = gradients.from_counts(key, logits, problem.correct, success[0], fail[0])
            return on_some(every, keys.stream(seed, "prompts", step), prompts_a_step)

        return dynamics.roll(problem, dynamics.initial_state(problem), gradient_of, num_steps, rate)

    return dynamics.grid(one, (problems, seeds), (prompts_a_step,), (forms.success, forms.fail))


def train(config: Any, tell: Any = frame.quiet) -> Runs:
    """Exact maximum likelihood first, then `split.estimators` at every split of every budget."""
    settings, every, names = config.split, splits(config), config.split.estimators
    problems, seeds = make_problems(config, settings.num_seeds), seed_keys(config.seed, settings.num_seeds)
    rate, steps = settings.learning_rate, settings.steps
    chosen = [(name, split) for name in names for split in every]
    own = tuple(estimator(name, n) for name, (_, _, n) in chosen)
    # Exact ML and the noise-free runs take every prompt, in one program with those on some.
    taken = [config.problem.num_prompts] * (1 + len(own)) + [p for _, (_, p, _) in chosen]
    every_method = (exact("ml"), *own, *own)
    found = [run_exact(problems, seeds, rate, jnp.asarray(taken), methods=every_method, num_steps=steps)]
    nothing = {"num_rollouts": None, "rollouts_a_step": None}
    identities: list[dict[str, Any]] = [{"method": "ml", "label": "exact ml", **nothing, "gradients": "expected"}]
    identities += [_identity(*one, kind) for kind in GRADIENTS[:2] for one in chosen]
    sizes = sorted({n for _, _, n in every})
    for done, n in enumerate(sizes, start=1):
        tell(done, 1 + len(sizes))
        alike = [split for split in every if split[2] == n]
        forms = methods.tables([estimator(name, n) for name in names])
        found.append(run_sampled(problems, seeds, rate, forms, jnp.asarray([p for _, p, _ in alike]), num_steps=steps))
        identities += [_identity(name, split, "sampled") for name in names for split in alike]
    return Runs.of(identities, found)


def _identity(name: str, split: tuple[int, int, int], kind: str) -> dict[str, Any]:
    budget, prompts_a_step, n = split
    label = f"{name} {prompts_a_step} x {n}"
    return {"method": name, "label": label, "num_rollouts": n, "rollouts_a_step": budget, "gradients": kind}


def final(runs: Runs) -> pd.DataFrame:
    """A row for each run and seed: distance to exact ML over training; log p and coverage at its end."""
    last = runs.log_rates[..., -1, :]
    columns = {
        "distance_to_ml": measures.distance(runs.log_rates, runs.log_rates[0]),
        "log_likelihood": last.mean(-1).astype(float),
    }
    columns |= {f"pass@{k}": measures.pass_at_k(last, k) for k in (1, 32)}
    return tidy(runs.identities, columns)


LINES = {"expected": ":", "prompts": "--", "sampled": "-"}
TEXTS = {
    "expected": "all prompts, no noise",
    "prompts": "$P$ of them, no noise",
    "sampled": "$P \\times N$ drawn",
}


def over_splits(ax: Axes, table: pd.DataFrame, y: str, **line: object) -> None:
    """One column over N with a band of one standard error over seeds."""
    found = over_seeds(table, ["num_rollouts"], y).sort_values("num_rollouts")
    band.band(ax, found.num_rollouts, found["mean"], found.standard_error, **line)


def draw_split(final: pd.DataFrame) -> Drawing:
    """Parts of the largest budget's distance; sampled distance by budget; coverage by method."""
    runs = final[final.num_rollouts.notna()]
    method, largest = runs.method.iloc[0], runs.rollouts_a_step.max()
    fig, (left, centre, right) = new_figure(1, 3, width="page", aspect=0.95)
    own = runs[runs.method == method]
    for kind, line in LINES.items():
        rows = own[(own.rollouts_a_step == largest) & (own.gradients == kind)]
        over_splits(left, rows, "distance_to_ml", color=COLOURS[method], linestyle=line, label=TEXTS[kind])
    left.set(ylabel="nats from exact ML", title=f"(a) {LABELS[method]}, $PN={largest:.0f}$")
    budgets = sorted(own.rollouts_a_step.unique())
    for budget, colour in zip(budgets, shades(method, len(budgets)), strict=True):
        rows = own[(own.rollouts_a_step == budget) & (own.gradients == "sampled")]
        over_splits(centre, rows, "distance_to_ml", color=colour, label=f"$PN={budget:.0f}$")
    centre.set(ylabel="nats from exact ML", title=f"(b) {LABELS[method]}, drawn, by budget")
    for name, rows in runs[(runs.rollouts_a_step == largest) & (runs.gradients == "sampled")].groupby("method"):
        over_splits(right, rows, "pass@32", color=COLOURS[str(name)], label=LABELS[str(name)])
    right.axhline(final[final.method == "ml"]["pass@32"].mean(), color=COLOURS["ml"], linestyle="--", label="exact ML")
    right.set(ylabel="pass@32 at the end", title=f"(c) drawn, $PN={largest:.0f}$")
    for ax in (left, centre, right):
        ax.set_xscale("log", base=2)
        ax.set_xlabel("rollouts of a prompt $N$")
    for ax, corner in ((left, "upper right"), (centre, "upper right"), (right, "lower left")):
        ax.legend(handlelength=1.6, labelspacing=0.2, loc=corner)
    for ax in (left, centre):
        from_zero(ax)
    from_zero(right, 1.03)
    return Drawing(fig, final)


def check(config: Any) -> None:
    """Raises ConfigError for the first field that is wrong."""
    shared_checks.problem(config)
    shared_checks.training(config, "split")
    checks.tuple_of(config, "split.rollouts_a_step", int, low=2)
    sizes = checks.tuple_of(config, "split.num_rollouts", int, low=2)
    if not splits(config):
        allowed = "an N that divides a budget of split.rollouts_a_step into at most problem.num_prompts prompts"
        raise ConfigError("split.num_rollouts", sizes, allowed)
    shared_checks.binary_estimators(config, "split.estimators", (2,))


RUN = frame.ending_in_tables(
    train,
    lambda config, runs: {"final": final(runs)},
    lambda config, made: {"rollouts_split": (draw_split, made["final"])},
)
STUDY = frame.Study(("problem", "split"), check, RUN)
