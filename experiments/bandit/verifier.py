"""Learning from verdicts: a wrong answer is accepted with chance a, a right one rejected with chance b.

Answer and verdict together are one draw from twice as many outcomes, so that the sampled gradient is the one of
binary rewards, and the expected one is (1-a-b) w(a + (1-a-b) p) grad p (docs/theory.md, section 5.5). Pass rates are
always those of right answers, whatever the verifier says.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.bandit import frame
from experiments.bandit.frame import Tables, draw_dots, tidy
from experiments.bandit.prompts import dynamics, gradients, methods, shared_checks
from experiments.bandit.prompts.draws import seed_keys
from experiments.bandit.prompts.dynamics import Runs
from experiments.bandit.prompts.methods import Method, estimator, exact
from experiments.bandit.prompts.problem import Problem, make_problems, pass_rate_gradient, pass_rates
from experiments.bandit.prompts.variance import prompts_at
from experiments.results.drawing import Drawing
from experiments.results.spread import over_seeds
from experiments.results.style import COLOURS, LABELS, from_zero, new_figure, shades
from maxrl_jax import keys, objectives
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config import checks


def sampled(
    key: jax.Array, problem: Problem, logits: jax.Array, form: tuple[jax.Array, jax.Array], a: Any, b: Any
) -> gradients.Estimate:
    """(1/N) sum_i A_i S_i of every prompt with A from N drawn verdicts; successes are accepted answers.

    ``form`` is A_success and A_fail, each [N + 1], over the number of accepted answers; the key is consumed.
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

    start = dynamics.initial_state(problems, len(methods), len(errors))
    return dynamics.roll(problems, start, gradient_of, num_steps, rate)


@functools.partial(jax.jit, static_argnames=("num_steps",))
def run_sampled(
    problems: Problem, seeds: jax.Array, rate: Any, errors: jax.Array, forms: methods.Tables, *, num_steps: int
) -> dynamics.Trajectory:
    """Runs on drawn verdicts, [methods, errors, seeds], of methods with one N; all of a seed share keys."""

    def one(problem: Problem, seed: jax.Array, error: jax.Array, success: jax.Array, fail: jax.Array):
        def gradient_of(step: jax.Array, logits: jax.Array) -> gradients.Estimate:
            key = keys.stream(seed, "rollouts", step)
            return sampled(key, problem, logits, (success[0], fail[0]), error[0], error[1])

        return dynamics.roll(problem, dynamics.initial_state(problem), gradient_of, num_steps, rate)

    return dynamics.grid(one, (problems, seeds), (errors,), (forms.success, forms.fail))


def train(config: Any, tell: Any = frame.quiet) -> Runs:
    """Trains every method under every verifier: exact maximum likelihood, then estimators noise-free and sampled."""
    settings, seeds = config.verifier, seed_keys(config.seed, config.verifier.num_seeds)
    problems, rate, steps = make_problems(config, settings.num_seeds), settings.learning_rate, settings.steps
    errors = jnp.asarray(settings.errors, jnp.float32)
    families = [tuple(estimator(name, n) for name in settings.estimators) for n in settings.num_rollouts]
    noise_free = (exact("ml"), *sum(families, ()))
    found = [run_expected(problems, rate, errors, methods=noise_free, num_steps=steps)]
    for done, family in enumerate(families, start=1):
        tell(done, 1 + len(families))
        found.append(run_sampled(problems, seeds, rate, errors, methods.tables(family), num_steps=steps))
    every = [(method, "expected") for method in noise_free] + [(method, "sampled") for method in sum(families, ())]
    identities = [
        method.identity(gradients=kind, false_positive=a, false_negative=b)
        for method, kind in every
        for a, b in settings.errors
    ]
    return Runs.of(identities, found)


def by_prompt(config: Any, runs: Runs) -> pd.DataFrame:
    """A row for each run, seed and prompt: true pass rate before and after training."""
    initial = np.geomspace(*config.problem.pass_rate_range, config.problem.num_prompts)
    return tidy(runs.identities, {"final": np.exp(runs.log_rates[..., -1, :])}, initial=initial)


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


ERRORS = ["false_positive", "false_negative"]


def _error_colours(table: pd.DataFrame) -> dict[tuple[float, float], Any]:
    """A colour for each verifier, dark to light in the order of the table."""
    pairs = list(dict.fromkeys(zip(table.false_positive, table.false_negative, strict=True)))
    return dict(zip(pairs, mpl.colormaps["viridis"](np.linspace(0, 0.9, len(pairs))), strict=True))


def weight_panel(ax: Axes, weights: pd.DataFrame) -> None:
    """Exact weights as lines, measured ones as bars of one standard error."""
    colours = _error_colours(weights)
    ax.set(xscale="log", yscale="log", xlabel="pass rate $p$", ylabel="weight")
    for (a, b), rows in weights.groupby(ERRORS, sort=False):
        ax.plot(rows.pass_rate, rows.weight, color=colours[a, b], label=f"$a={a:g}$, $b={b:g}$")
        draw_dots(ax, rows.pass_rate, rows.measured, rows.standard_error, colours[a, b])


def final_panel(ax: Axes, table: pd.DataFrame, label: str) -> None:
    """True pass rate at the end over that at the start, of one method: lines noise-free, dots sampled."""
    colours = _error_colours(table)
    for (a, b), rows in table[table.label == label].groupby(ERRORS, sort=False):
        means = rows.groupby(["gradients", "initial"]).final.mean()
        ax.plot(means["expected"].index, means["expected"], color=colours[a, b])
        ax.plot(means["sampled"].index, means["sampled"], ".", color=colours[a, b], markersize=4)
    ax.set(xscale="log", xlabel="initial pass rate", ylabel="pass rate at the end")
    from_zero(ax, 1.03)


def reach_panel(ax: Axes, table: pd.DataFrame) -> None:
    """The initial rate down to which prompts are solved, over the verifiers: lines noise-free, dots sampled."""
    found = reach(table)
    pairs = list(dict.fromkeys(zip(found.false_positive, found.false_negative, strict=True)))
    ax.set_yscale("log")
    for _, rows in found.groupby("label", sort=False):
        name, sizes = rows.method.iloc[0], sorted(found.num_rollouts.dropna().unique())
        size = rows.num_rollouts.iloc[0]
        colour = COLOURS[name] if np.isnan(size) else shades(name, 2)[int(size == sizes[-1])]
        text = "exact ML" if np.isnan(size) else f"{LABELS[name]}, $N={size:.0f}$"
        for kind, part in rows.groupby("gradients", sort=False):
            mean = over_seeds(part, ERRORS, "reach").set_index(ERRORS).loc[pairs]
            if kind == "expected":
                ax.plot(np.arange(len(pairs)), mean["mean"], "--" if np.isnan(size) else "-", color=colour, label=text)
            else:
                draw_dots(ax, np.arange(len(pairs)), mean["mean"], mean.standard_error, colour)
    ax.set_xticks(np.arange(len(pairs)), [f"{a:g}\n{b:g}" for a, b in pairs])
    ax.set(xlabel="$a$ (above), $b$ (below)", ylabel="lowest initial rate solved")


def draw_verifier(weights: pd.DataFrame, table: pd.DataFrame) -> Drawing:
    """Weight over pass rate, final over initial pass rate, and the reach over the verifiers."""
    label = weights.label.iloc[0]
    method = table[table.label == label].method.iloc[0]
    fig, (left, centre, right) = new_figure(1, 3, width="page", aspect=1.1)
    weight_panel(left, weights)
    left.set_title(f"(a) weight of {LABELS[method]}; bars: measured")
    final_panel(centre, table, label)
    centre.set_title("(b) after training; dots: sampled")
    reach_panel(right, table)
    right.set_title("(c) reach; lower is better")
    centre.legend(*left.get_legend_handles_labels(), handlelength=1.0, labelspacing=0.2, loc="center right")
    fig.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return Drawing(fig, pd.concat([weights.assign(part="weight"), table.assign(part="prompts")], ignore_index=True))


def tables(config: Any, runs: Runs) -> Tables:
    """The tables of a run."""
    prompts = by_prompt(config, runs)
    return {"prompts": prompts, "reach": reach(prompts), "weights": weights(config, config.verifier.weight_batches)}


def check(config: Any) -> None:
    """Raises ConfigError for the first field that is wrong."""
    shared_checks.problem(config)
    shared_checks.training(config, "verifier", "weight_batches")
    errors = checks.field(config, "verifier.errors")
    if not errors or not all(len(pair) == 2 and min(pair) >= 0 and sum(pair) < 1 for pair in errors):
        raise ConfigError("verifier.errors", errors, "pairs (a, b) of numbers >= 0 with a + b < 1")
    sizes = checks.tuple_of(config, "verifier.num_rollouts", int, low=2)
    shared_checks.binary_estimators(config, "verifier.estimators", sizes)


RUN = frame.ending_in_tables(
    train, tables, lambda config, made: {"verifier_errors": (draw_verifier, made["weights"], made["prompts"])}
)
STUDY = frame.Study(("problem", "verifier"), check, RUN)
