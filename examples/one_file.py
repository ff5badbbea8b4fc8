"""RLOO, GRPO and MaxRL on chains of skills, in one file: no driver, no config, a table and a picture in a minute.

A task of level L asks for L right moves in a row, left or right, and only a chain that is right to its end is
rewarded: a policy that guesses solves level 1 half of the time and level 8 once in 256. There are eight tasks a level
and one policy for all, which reads off a vector of 128 random numbers, by one linear map, what to do in each place;
tasks disturb each other through it as they do through a network. A step draws 8 tasks, one a level, and 16 rollouts
of each.

Every method trains at the rate that is best for it: the one with the highest success after training, averaged over
all levels, on five seeds that are not the five reported. A seed is a world (vectors, right moves) and its draws.

    python one_file.py [--out FOLDER]
"""

import argparse
import functools
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from maxrl_jax import advantages, losses

METHODS = {"rloo": ("RLOO", "#009e73"), "grpo": ("GRPO", "#0072b2"), "maxrl": ("MaxRL", "#d55e00")}
LEVELS, TASKS, ROLLOUTS, FEATURES = 8, 8, 16, 128  # TASKS a level
STEPS, INTERVAL = 1_000, 20  # INTERVAL: steps between two measurements
RATES = 2.0 ** np.arange(9)
TUNING_SEEDS, SEEDS = np.arange(100, 105), np.arange(5)
HARD = slice(5, None)  # levels 6, 7 and 8
MASK = jnp.tril(jnp.ones((LEVELS, LEVELS), bool))[:, None]  # [levels, 1, places]: a task of level L has L places


def make_world(key):
    """Features [levels, tasks, places, FEATURES] of about unit length; right moves [levels, tasks, places]."""
    of_features, of_moves = jax.random.split(key)
    shape = (LEVELS, TASKS, LEVELS)
    features = jax.random.normal(of_features, (*shape, FEATURES)) / FEATURES**0.5
    return features, jax.random.bernoulli(of_moves, shape=shape)


def log_probs_of(moves, logits):
    """Log-probabilities of moves, true with the chance sigmoid(logits); the shapes broadcast."""
    return jax.nn.log_sigmoid(jnp.where(moves, logits, -logits))


@functools.partial(jax.jit, static_argnames="method")
@functools.partial(jax.vmap, in_axes=(None, 0, None))  # over rates
@functools.partial(jax.vmap, in_axes=(None, None, 0))  # over seeds
def train(method, rate, seed):
    """Gradient descent from a policy that guesses; the success of each level, exact, every INTERVAL steps.

    Args:
      method: name of an estimator.
      rate: learning rate.
      seed: of the world and of the rollouts.

    Returns:
      [1 + STEPS / INTERVAL, levels]: the chance of a right chain, the product of its moves', averaged over tasks.
    """
    estimator = advantages.get(method)
    features, right = make_world(jax.random.key(seed))
    levels, mask = jnp.arange(LEVELS), jnp.broadcast_to(MASK, (LEVELS, ROLLOUTS, LEVELS))

    def success(weights):
        return jnp.exp(jnp.sum(log_probs_of(right, features @ weights), axis=-1, where=MASK)).mean(axis=1)

    def step(weights, key):
        of_tasks, of_moves = jax.random.split(key)
        tasks = jax.random.randint(of_tasks, (LEVELS,), 0, TASKS)
        seen, wanted = features[levels, tasks][:, None], right[levels, tasks][:, None]
        moves = jax.random.bernoulli(of_moves, jax.nn.sigmoid(seen @ weights), shape=mask.shape)
        rewards = jnp.all((moves == wanted) | ~MASK, axis=-1).astype(float)  # [levels, N]

        def loss(weights):
            return losses.policy_gradient(log_probs_of(moves, seen @ weights), mask, estimator(rewards))

        return weights - rate * jax.grad(loss)(weights), None

    def interval(weights, keys):
        return jax.lax.scan(step, weights, keys)[0], success(weights)

    start = jnp.zeros(FEATURES)
    keys = jax.random.split(jax.random.key(seed + 1_000), (STEPS // INTERVAL, INTERVAL))
    weights, curve = jax.lax.scan(interval, start, keys)
    return jnp.concatenate([curve, success(weights)[None]])


def curves_at_best_rate(method):
    """[rates] success on the tuning seeds after training, the best rate, and the curves [seeds, :, levels] at it."""
    tuning = np.asarray(train(method, RATES, TUNING_SEEDS))[:, :, -1].mean(axis=(1, 2))
    best = tuning.argmax()
    # All rates again, of which one is used: the same shapes need no second compilation, which takes far longer.
    return tuning, RATES[best], np.asarray(train(method, RATES, SEEDS))[best]


def mean_and_error(values):
    """Mean and one standard error over the first axis, the seeds."""
    return values.mean(axis=0), values.std(axis=0, ddof=1) / len(values) ** 0.5


def row(name, rate, curves):
    """A line of the table: success by level after training, then over all levels and over the hard ones."""
    final = curves[:, -1]
    groups = [*final.T, final.mean(axis=1), final[:, HARD].mean(axis=1)]
    cells = "  ".join("{:.2f}±{:.2f}".format(*mean_and_error(group)) for group in groups)
    return f"{name:6} {rate:6g}  {cells}"


def draw(found):
    """Success by level, over training on the hard levels, and against the rate: a matplotlib figure."""
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    by_level, over_steps, by_rate = figure.subplots(1, 3, sharey=True)
    for method, (name, colour) in METHODS.items():
        tuning, rate, curves = found[method]
        mean, error = mean_and_error(curves[:, -1])
        by_level.errorbar(np.arange(1, LEVELS + 1), mean, error, color=colour, marker="o", capsize=2, label=name)
        mean, error = mean_and_error(curves[:, :, HARD].mean(axis=-1))
        steps = np.arange(len(mean)) * INTERVAL
        over_steps.plot(steps, mean, color=colour)
        over_steps.fill_between(steps, mean - error, mean + error, color=colour, alpha=0.15, linewidth=0)
        by_rate.plot(RATES, tuning, color=colour)
        by_rate.plot(rate, tuning.max(), color=colour, marker="o")
    by_level.set(xlabel="level: right moves in a row", ylabel="success", title="after training", ylim=(0, 1.02))
    by_level.legend(frameon=False)
    over_steps.set(xlabel="step", title="levels 6 to 8")
    by_rate.set(xlabel="learning rate", xscale="log", title="all levels; dots: rates used")
    for axes in (by_level, over_steps, by_rate):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    return figure


def main():
    """Tunes, trains, prints the table as it comes and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(), metavar="FOLDER", help="where one_file.png goes")
    out, began, found = parser.parse_args().out, time.perf_counter(), {}
    print(f"success after {STEPS} steps, mean ± standard error over {len(SEEDS)} seeds\n")
    columns = [*(f"level {level}" for level in range(1, LEVELS + 1)), "all", "6 to 8"]
    print("method   rate  " + "  ".join(f"{column:9}" for column in columns))
    for method, (name, _) in METHODS.items():
        found[method] = curves_at_best_rate(method)
        print(row(name, *found[method][1:]), flush=True)
    out.mkdir(parents=True, exist_ok=True)
    picture = out.resolve() / "one_file.png"
    draw(found).savefig(picture, dpi=150)
    print(f"\npicture: {picture} ({time.perf_counter() - began:.0f} s)")


if __name__ == "__main__":
    main()
