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

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.bandit import frame
from experiments.bandit.prompts import dynamics, measures, methods, shared_checks
from experiments.bandit.prompts.draws import seed_keys
from experiments.bandit.prompts.dynamics import Runs
from experiments.bandit.prompts.methods import Method, estimator
from experiments.bandit.prompts.problem import Problem, make_features
from experiments.results import band
from experiments.results.drawing import Drawing
from experiments.results.style import COLOURS, new_figure, shades
from maxrl_jax import keys
from maxrl_jax.runs.config import checks

TASK_SETS = ("ambiguous", "separable", "hard")


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

    The problem has num_groups x group_size prompts, prompt i in group i mod num_groups; ``shared`` is the share of the
    group's row in the squared norm of the features, in [0, 1]. The key is consumed.
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
    shape = {name: settings[name] for name in ("num_groups", "group_size", "num_answers")}
    easy = {"model_exponent": settings.model_exponent, "truth_exponent": settings.truth_exponent, "favourites_wrong": 0}
    hard = {name: settings[f"hard_{name}"] for name in easy}
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


def schedules(config: Any) -> tuple[list[str], methods.Tables]:
    """Names and tables of every constant k and of the annealed run, in two phases."""
    settings = config.pkpo
    before = [method_of(k, settings.num_rollouts) for k in (*settings.k_opt, settings.anneal_from)]
    after = [*before[:-1], method_of(1, settings.num_rollouts)]
    names = [*(f"k = {k}" for k in settings.k_opt), f"k = {settings.anneal_from}, then 1"]
    return names, methods.in_phases([(0, before), (settings.anneal_step, after)])


def train(config: Any, tell: Any = frame.quiet) -> Runs:
    """Trains every k on every task set and seed, all in one compile."""
    settings = config.pkpo
    names, forms = schedules(config)
    problems, seeds = make_problems(config), jnp.tile(seed_keys(config.seed, settings.num_seeds), len(TASK_SETS))
    found = dynamics.run_counts(problems, seeds, settings.learning_rate, forms, num_steps=settings.steps)

    def by_set(leaf: jax.Array) -> jax.Array:
        return leaf.reshape(len(names), len(TASK_SETS), settings.num_seeds, *leaf.shape[2:])

    identities = [{"method": name, "task_set": task_set} for name in names for task_set in TASK_SETS]
    return Runs.of(identities, [jax.tree.map(by_set, found)])


def table(config: Any, runs: Runs) -> pd.DataFrame:
    """A row for each method, task set, seed and recorded step, with pass@k for every k of `pkpo.k_eval`."""
    steps = frame.log_spaced_steps(config.pkpo.steps, 60)
    rates = np.take(runs.log_rates, steps, axis=2)
    columns = {f"pass@{k}": measures.pass_at_k(rates, k) for k in config.pkpo.k_eval}
    solved = np.where(steps > 0, runs.solved[..., np.maximum(steps - 1, 0)], 0.0)
    return frame.tidy(runs.identities, columns | {"entropy": runs.entropy[..., steps], "solved": solved}, step=steps)


def _k_colours(names: list[str]) -> dict[str, Any]:
    """k = 1 is RLOO and has its colour; larger k are shades of PKPO's; the annealed run stands out."""
    larger = [name for name in names if "then" not in name and name != "k = 1"]
    colours = dict(zip(larger, shades("pkpo", len(larger) + 1)[1:], strict=True)) | {"k = 1": COLOURS["rloo"]}
    return {name: colours.get(name, COLOURS["maxrl"]) for name in names}


def _matrix(ax: Axes, table: pd.DataFrame) -> None:
    """pass@k_eval at the end for every constant k_opt, on the set whose groups cannot be told apart."""
    end = table[(table.task_set == "ambiguous") & (table.step == table.step.max())]
    rows = [name for name in dict.fromkeys(end.method) if "then" not in name]
    columns = [column for column in end if column.startswith("pass@")]
    values = end.groupby("method")[columns].mean().loc[rows].to_numpy()
    share = values / values.max(axis=0)
    ax.imshow(share, cmap="Purples", vmin=share.min() - 0.2, vmax=1.15, aspect="auto")
    for i, j in np.ndindex(values.shape):
        weight = "bold" if values[i, j] >= values[:, j].max() - 5e-4 else "normal"
        ax.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", fontsize=6.5, weight=weight)
    ax.set_xticks(range(len(columns)), [column.split("@")[1] for column in columns])
    ax.set_yticks(range(len(rows)), [name.split("= ")[1] for name in rows])
    ax.grid(False)
    ax.set(xlabel="$k_{eval}$", ylabel="$k_{opt}$")


def draw_pkpo(table: pd.DataFrame, num_rollouts: int, anneal_step: int) -> Drawing:
    """Counterparts of PKPO's Figures 2 to 5 on the prompt bandit, trained with N = num_rollouts (the paper's n)."""
    names = list(dict.fromkeys(table.method))
    colours = _k_colours(names)
    constant = [name for name in names if "then" not in name]
    high = "pass@8" if "pass@8" in table else [c for c in table if c.startswith("pass@")][-1]
    fig, axes = new_figure(2, 3, width="page", aspect=0.85)

    def curves(ax: Axes, task_set: str, y: str, which: list[str]) -> None:
        for name in which:
            rows = table[(table.method == name) & (table.task_set == task_set) & (table.step > 0)]
            band.seeds(ax, rows, "step", y, color=colours[name], label=name, linestyle="--" if "then" in name else "-")
        ax.set(xscale="log", xlabel="step", ylabel=y)

    curves(axes[0, 0], "hard", "solved", constant)
    axes[0, 0].set(title="(a) as Fig. 2a: solved so far, hard set", ylabel="share solved at least once")
    curves(axes[0, 1], "separable", "entropy", constant)
    axes[0, 1].set(title="(b) as Fig. 2b: entropy", ylabel="entropy (nats)")
    _matrix(axes[0, 2], table)
    axes[0, 2].set_title("(c) as Fig. 3: pass@$k_{eval}$")
    annealed = [name for name in names if name == "k = 1" or name in ("k = 8",) or "then" in name]
    for ax, y, title in (
        (axes[1, 0], "pass@1", "(d) as Fig. 4: annealed, pass@1"),
        (axes[1, 1], high, f"(e) as Fig. 4: annealed, {high}"),
    ):
        curves(ax, "separable", y, annealed)
        ax.axvline(anneal_step, color="k", linestyle=":", linewidth=0.8)
        ax.set_title(title)
    curves(axes[1, 2], "hard", "pass@1", constant)
    axes[1, 2].set_title("(f) as Fig. 5: hard set, pass@1")
    handles = {
        label: h for ax in (axes[0, 0], axes[1, 0]) for h, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5)
    fig.suptitle(f"Miniature of PKPO Figures 2-5: prompts that share a distribution, $n={num_rollouts}$", fontsize=8)
    return Drawing(fig, table)


def check(config: Any) -> None:
    """Raises ConfigError for the first field that is wrong."""
    shared_checks.training(config, "pkpo", "num_groups", "group_size")
    checks.in_range(config, "pkpo.shared", 0.0, 1.0)
    checks.integer(config, "pkpo.num_answers", 2)
    checks.integer(config, "pkpo.hard_favourites_wrong", 0, config.pkpo.num_answers - 1)
    n = checks.integer(config, "pkpo.num_rollouts", 2)
    shared_checks.ks(config, "pkpo.k_opt", n, "pkpo.num_rollouts")
    checks.integer(config, "pkpo.anneal_from", 1, n)
    checks.integer(config, "pkpo.anneal_step", 1, config.pkpo.steps)
    shared_checks.ks(config, "pkpo.k_eval")


RUN = frame.ending_in_tables(
    train,
    lambda config, runs: {"curves": table(config, runs)},
    lambda config, made: {
        "pkpo_miniature": (draw_pkpo, made["curves"], config.pkpo.num_rollouts, config.pkpo.anneal_step)
    },
    frame.metrics_of_curves("task_set", "method"),
)
STUDY = frame.Study(("pkpo",), check, RUN)
