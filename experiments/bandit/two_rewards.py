"""Two rewards for one answer, combined before or after normalisation (an open question of the MaxRL review).

Reward 1 is correctness, rare; reward 2 is something cheap that most answers have (a format, brevity). Prompts are of
two kinds: in `compatible` ones some answer earns both, in `conflict` ones none does. Ways to make advantages:

  sum        f(g1 + c g2): normalised after combining. The estimator sees one real-valued reward; for MaxRL that
             is maxrl_order at order N - 1, as f(g) = (g - mean)/mean has no objective on real rewards.
  decoupled  f(g1) + c f(g2): each reward normalised by itself, then combined. By linearity of the expectation this
             is gradient ascent on J(p1) + c J(p2): for MaxRL on log p1 + c log p2, truncated.
  standard   decoupled, then divided by the standard deviation over the whole batch of prompts (GDPO's second
             step): one positive factor for all prompts of a step.
  both       f(g1 g2): success is having both.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from experiments.bandit import frame
from experiments.bandit.prompts import gradients, shared_checks
from experiments.bandit.prompts.draws import draw_actions, seed_keys
from experiments.bandit.prompts.dynamics import grid
from experiments.results.drawing import Drawing
from experiments.results.style import COLOURS, LABELS, new_figure
from maxrl_jax import advantages, keys
from maxrl_jax.runs.config import checks

KINDS = ("compatible", "conflict")
EPS = 1e-6  # beside the batch's standard deviation
Combine = Callable[[jax.Array], jax.Array]  # rewards [P, N, 2] -> advantages [P, N]


class Tasks(NamedTuple):
    """P prompts with a tabular policy.

    Attributes:
      base_logits: [P, C].
      rewards: [P, C, 2], in {0, 1}.
    """

    base_logits: jax.Array
    rewards: jax.Array


class Runs(NamedTuple):
    """On the host.

    Attributes:
      names: of the ways to combine.
      rates: [ways, seeds, steps + 1, P, 3] chances of reward 1, of reward 2, of both.
      params: [ways, seeds, P, C], the logits at the end.
    """

    names: tuple[str, ...]
    rates: np.ndarray
    params: np.ndarray


def ways(num_rollouts: int, coefficient: float) -> dict[str, Combine]:
    """Every way to combine, by name."""
    grpo, maxrl = advantages.get("grpo"), advantages.get("maxrl")
    ordered = advantages.get("maxrl_order", order=num_rollouts - 1)
    for method in (grpo, maxrl, ordered):
        method.check(num_rollouts)

    def total(rewards: jax.Array) -> jax.Array:
        return rewards[..., 0] + coefficient * rewards[..., 1]

    def decoupled(method: Combine) -> Combine:
        return lambda rewards: method(rewards[..., 0]) + coefficient * method(rewards[..., 1])

    def standard(method: Combine) -> Combine:
        def combine(rewards: jax.Array) -> jax.Array:
            values = decoupled(method)(rewards)
            return values / (jnp.std(values) + EPS)

        return combine

    return {
        "grpo sum": lambda rewards: grpo(total(rewards)),
        "grpo decoupled": decoupled(grpo),
        "grpo standard": standard(grpo),
        "maxrl sum": lambda rewards: ordered(total(rewards)),
        "maxrl both": lambda rewards: maxrl(rewards[..., 0] * rewards[..., 1]),
        "maxrl decoupled": decoupled(maxrl),
        "maxrl standard": standard(maxrl),
    }


def make_tasks(
    key: jax.Array, *, num_prompts: int, answers_each: int, first_range: tuple[float, float], second_rate: float
) -> Tasks:
    """Prompts with 4 x answers_each answers: `answers_each` for each of the reward pairs (1,1), (1,0), (0,1), (0,0).

    Initially reward 1 has a log-spaced chance p1, reward 2 the chance `second_rate`, independently. In conflict
    prompts (odd indices) the mass and the answers of (1,1) belong to (1,0) instead.

    The key is consumed; ``num_prompts`` is even, ``first_range`` holds the lowest and highest p1.
    """
    pairs = jnp.repeat(jnp.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), answers_each, axis=0)
    conflict = (jnp.arange(num_prompts) % 2 == 1)[:, None]
    # Both kinds get the same pass rates: one of each per rate.
    first = jnp.repeat(jnp.asarray(np.geomspace(*first_range, num_prompts // 2), jnp.float32), 2)[:, None]
    mass = jnp.where(pairs[:, 0] > 0, first, 1 - first) * jnp.where(pairs[:, 1] > 0, second_rate, 1 - second_rate)
    noise = jax.random.normal(keys.stream(key, "base logits"), (num_prompts, 4, answers_each))
    base = jnp.log(mass) + jax.nn.log_softmax(noise, axis=-1).reshape(num_prompts, -1)
    both = pairs.prod(-1) > 0
    second = jnp.where(conflict & both, 0.0, pairs[:, 1])
    return Tasks(base, jnp.stack([jnp.broadcast_to(pairs[:, 0], second.shape), second], axis=-1))


def _chances(logits: jax.Array, rewards: jax.Array) -> jax.Array:
    """[P, 3] chances of reward 1, reward 2 and both."""
    events = jnp.concatenate([rewards, rewards.prod(-1, keepdims=True)], axis=-1)
    return jnp.einsum("pc,pce->pe", jax.nn.softmax(logits), events)


@functools.partial(jax.jit, static_argnames=("num_steps", "num_rollouts", "coefficient"))
def _train(
    tasks: Tasks, seeds: jax.Array, rate: jax.Array | float, *, num_steps: int, num_rollouts: int, coefficient: float
):
    combines = tuple(ways(num_rollouts, coefficient).values())

    def one(tasks: Tasks, seed: jax.Array, way: jax.Array):
        def advance(logits: jax.Array, step: jax.Array):
            answers = draw_actions(keys.stream(seed, "rollouts", step), logits, num_rollouts)
            rewards = jnp.take_along_axis(tasks.rewards, answers[..., None], axis=1)
            gradient = gradients.rollout_gradient(logits, answers, jax.lax.switch(way, combines, rewards))
            return logits + rate * gradient, _chances(logits, tasks.rewards)

        logits, chances = jax.lax.scan(advance, tasks.base_logits, jnp.arange(num_steps))
        return jnp.concatenate([chances, _chances(logits, tasks.rewards)[None]]), logits

    return grid(one, (tasks, seeds), (jnp.arange(len(combines)),))


def train(config: Any, tell: Any = frame.quiet) -> Runs:
    """Trains every way to combine on every seed, in one compile."""
    settings = config.two_rewards
    seeds = seed_keys(config.seed, settings.num_seeds)
    shape = {name: settings[name] for name in ("num_prompts", "answers_each", "second_rate")}

    def make(key: jax.Array) -> Tasks:
        return make_tasks(keys.stream(key, "problem"), first_range=tuple(settings.first_range), **shape)

    fixed = {"num_rollouts": settings.num_rollouts, "coefficient": settings.coefficient}
    tasks = jax.jit(jax.vmap(make))(seeds)
    found = _train(tasks, seeds, settings.learning_rate, num_steps=settings.steps, **fixed)
    return Runs(tuple(ways(**fixed)), *jax.device_get(found))


def table(runs: Runs) -> pd.DataFrame:
    """A row for each way, kind of prompt, seed and recorded step."""
    steps = frame.even_steps(runs.rates.shape[2] - 1)
    rates = np.take(runs.rates, steps, axis=2)
    # [ways, kinds, seeds, steps, 3]
    means = np.stack([rates[:, :, :, j :: len(KINDS)].mean(3) for j in range(len(KINDS))], axis=1)
    means = means.reshape(-1, *means.shape[2:])
    identities = [{"way": name, "kind": kind} for name in runs.names for kind in KINDS]
    columns = {name: means[..., i] for i, name in enumerate(("reward 1", "reward 2", "both"))}
    return frame.tidy(identities, columns, step=steps)


def draw_two_rewards(table: pd.DataFrame) -> Drawing:
    """Paths in the plane of the two rewards, by kind of prompt."""
    ways = list(dict.fromkeys(table.way))
    lines = {"sum": "-", "both": ":", "decoupled": "--", "standard": "-."}
    fig, axes = new_figure(1, 2, width="page", aspect=0.72)
    for ax, kind in zip(axes, KINDS, strict=True):
        for way in ways:
            method, how = way.split(" ")
            mean = table[(table.way == way) & (table.kind == kind)].groupby("step")[["reward 1", "reward 2"]].mean()
            ax.plot(
                mean["reward 1"], mean["reward 2"], lines[how], color=COLOURS[method], label=f"{LABELS[method]}, {how}"
            )
            ax.plot(mean["reward 1"].iloc[-1], mean["reward 2"].iloc[-1], "o", color=COLOURS[method])
        ax.plot(*mean.iloc[0], "k*", markersize=7)
        title = "some answer earns both" if kind == "compatible" else "no answer earns both"
        ax.set(xlabel="chance of reward 1 (rare)", ylabel="chance of reward 2 (common)", title=title)
        ax.set(xlim=(-0.03, 1.03), ylim=(0.35, 1.03))
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return Drawing(fig, table)


def check(config: Any) -> None:
    """Raises ConfigError for the first field that is wrong."""
    checks.multiple_of(config, "two_rewards.num_prompts", 2, "compatible and conflict prompts alternate")
    shared_checks.training(config, "two_rewards", "answers_each")
    checks.integer(config, "two_rewards.num_rollouts", 2)
    checks.positive(config, "two_rewards.coefficient")
    checks.in_range(config, "two_rewards.second_rate", 0.0, 1.0, low_open=True, high_open=True)
    shared_checks.rates(config, "two_rewards.first_range")


RUN = frame.ending_in_tables(
    train,
    lambda config, runs: {"curves": table(runs)},
    lambda config, made: {"two_rewards": (draw_two_rewards, made["curves"])},
    frame.metrics_of_curves("way", "kind"),
)
STUDY = frame.Study(("two_rewards",), check, RUN)
