# %% [markdown]
# # 05 Rewards beyond 0 and 1
#
# MaxRL maximises the likelihood of being right. What if an answer can be half right, if the judge returns the
# probability that it is right, or if the judge errs? One prompt is followed through all three cases. Proofs are in
# [docs/theory.md](../docs/theory.md), sections 3.5 to 3.8 and 5.5.

# %%
# %matplotlib inline
# %config InlineBackend.figure_formats = ["retina"]
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

import maxrl_jax
from experiments.results import style
from experiments.results.style import COLOURS, LABELS, new_figure

pd.options.display.float_format = "{:.3f}".format
pd.options.display.width = 120

# %% [markdown]
# ## The prompt
#
# A judge grades the answers: worthless 0, half right 1/2, right 1. The policy has learned the half-right answer and
# rarely gives the right one.

# %%
levels = np.array([0.0, 0.5, 1.0])
chances = np.array([0.68, 0.30, 0.02])
names = ["worthless", "half right", "right"]
mean_reward = float(chances @ levels)
pd.DataFrame({"reward": levels, "chance": chances}, index=names).T

# %% [markdown]
# Four estimators' advantages for eight rollouts, one of them right. `tailrl` and `maxrl_likelihood` are two
# extensions of MaxRL to graded rewards; on rewards of 0 and 1 both are `maxrl`.

# %%
group = jnp.array([0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 1.0])
methods = {name: jax.jit(maxrl_jax.get(name)) for name in ("rloo", "grpo", "maxrl_likelihood", "tailrl")}
advantages = pd.DataFrame(
    {LABELS[name]: np.asarray(method(group)) for name, method in methods.items()},
    index=pd.Index(np.asarray(group), name="reward"),
)
advantages

# %% [markdown]
# All columns sum to zero. Relative to a worthless answer, the right one gets twice as much as a half-right one under
# RLOO and GRPO, as in the rewards, 2.6 times as much under `maxrl_likelihood` and 5 times under `tailrl`.
#
# ## Layers
#
# To see why, cut the rewards at a threshold: an answer above it counts as right, below it as wrong, and the group is
# binary. TailRL is the sum over thresholds of practical MaxRL on these groups, times the reward between two
# thresholds:

# %%
maxrl = jax.jit(maxrl_jax.get("maxrl"))
layers = pd.DataFrame(
    {
        "at least half right": 0.5 * np.asarray(maxrl((group > 0.0).astype(jnp.float32))),
        "right": 0.5 * np.asarray(maxrl((group > 0.5).astype(jnp.float32))),
    },
    index=advantages.index,
)
layers["sum"] = layers.sum(axis=1)
np.testing.assert_allclose(layers["sum"], advantages[LABELS["tailrl"]], atol=1e-5)
layers

# %% [markdown]
# Each layer maximises the likelihood of its own event, so the sum ascends
# $\frac12 \log P(g \ge \frac12) + \frac12 \log P(g = 1)$: in general $\int \log P(g > t)\,dt$, truncated at order
# $N-1$. One success in eight has advantage $8 - 1 = 7$ in its layer, as it would under MaxRL.
#
# ## The exact weights
#
# In expectation a symmetric estimator's gradient is $\sum_l a_l \nabla p_l$, where $a_l$ is the mean advantage of a
# rollout on level $l$ over all outcomes of the other $N - 1$ rollouts. With $N = 6$ there are $3^5$ outcomes, and we
# enumerate them all. A constant added to all $a_l$ changes nothing, since the probabilities sum to one, so worthless
# is set to 0.

# %%
num_rollouts = 6
others = np.array(list(itertools.product(range(3), repeat=num_rollouts - 1)))
cases = np.stack([np.insert(others, 0, level, axis=1) for level in range(3)])  # [own level, case, N]


def pulls(advantage, p):
    """a_l minus that of worthless for chances p, by enumeration."""
    own = np.asarray(advantage(jnp.asarray(levels[cases], jnp.float32)), np.float64)[..., 0]
    mean = own @ np.prod(p[others], axis=1)
    return mean - mean[0]


pull_table = pd.DataFrame({LABELS[name]: pulls(method, chances) for name, method in methods.items()}, index=names)
pull_table.loc["right / half right"] = pull_table.loc["right"] / pull_table.loc["half right"]
pull_table

# %% [markdown]
# RLOO weighs the two as their rewards, 2 to 1. So does `maxrl_likelihood`: in expectation it has a larger gradient in
# the same direction. GRPO gives the right answer less than that, since a group that contains one has a larger
# standard deviation. Only TailRL gives the rare answer more than its reward. Both extensions of MaxRL agree with
# their objectives, truncated at order $N - 1 = 5$:

# %%


def order_weight(p, order=num_rollouts - 1):
    """(1 - (1-p)^T) / p, MaxRL's weight."""
    return (1 - (1 - p) ** order) / p


at_least = np.array([chances[1:].sum(), chances[2]])
np.testing.assert_allclose(
    pull_table[LABELS["tailrl"]].iloc[:3], [0, *np.cumsum(0.5 * order_weight(at_least))], atol=1e-5
)
np.testing.assert_allclose(
    pull_table[LABELS["maxrl_likelihood"]].iloc[:3], levels * order_weight(mean_reward), atol=1e-5
)
np.testing.assert_allclose(pull_table[LABELS["rloo"]].iloc[:3], levels, atol=1e-5)

# %% [markdown]
# How does the weight of the step from half right to right depend on the rarity of the right answer?

# %%
rates = np.geomspace(1e-3, 0.6, 40)
steps_up = {
    name: np.array([np.diff(pulls(method, np.array([0.7 - p, 0.3, p])))[1] for p in rates])
    for name, method in methods.items()
}
with style.settings():
    fig, ax = new_figure(width="page", aspect=0.4)
    for name, values in steps_up.items():
        ax.plot(rates, values, color=COLOURS[name], label=LABELS[name])
    ax.plot(rates, 0.5 / rates, ":", color=COLOURS["ml"], label="$\\int \\log P(g>t)\\,dt$, no truncation")
    ax.set(xscale="log", ylim=(0, 3.2), xlabel="chance of the right answer", ylabel="right over half right")
    ax.set_title(f"exact weight of the last half of the reward, $N = {num_rollouts}$, half right 30 % of the time")
    fig.legend(loc="outside right upper")
fig

# %% [markdown]
# TailRL climbs to $\frac12 (N - 1) = 2.5$ and would climb further with more rollouts. The others are flat where the
# right answer is rare: the half-right answers' reward dominates them, with any number of rollouts.
#
# ## Rewards that are probabilities
#
# `maxrl_likelihood` is not worse; it has another objective. Suppose the judge is unsure, and its 1/2 means *this
# answer is right with probability 1/2*. Then $E[g]$ is the probability of being right, $\log E[g]$ is the likelihood,
# and thresholds have no meaning. One could accept every rollout with probability $g_i$ and give the result to MaxRL.
# That is noisy. The estimator computes its mean over all $2^N$ acceptances:

# %%
acceptances = np.array(list(itertools.product((0.0, 1.0), repeat=len(group))))
probability = np.prod(np.where(acceptances > 0, np.asarray(group), 1 - np.asarray(group)), axis=1)
over_acceptances = probability @ np.asarray(maxrl(jnp.asarray(acceptances, jnp.float32)), np.float64)
np.testing.assert_allclose(over_acceptances, advantages[LABELS["maxrl_likelihood"]], atol=1e-5)
pd.DataFrame(
    {"mean of MaxRL over acceptances": over_acceptances, "maxrl_likelihood": advantages[LABELS["maxrl_likelihood"]]}
)

# %% [markdown]
# Two policies distinguish the two likelihoods. One always answers half right, the other is right half of the time:

# %%
policies = {"half right for certain": np.array([0.0, 1.0, 0.0]), "right half of the time": np.array([0.5, 0.0, 0.5])}
with np.errstate(divide="ignore"):
    likelihoods = pd.DataFrame(
        {
            label: {
                "log E[g]": np.log(p @ levels),
                "mean of log P(g > t)": 0.5 * np.log(p[1:].sum()) + 0.5 * np.log(p[2]),
            }
            for label, p in policies.items()
        }
    ).T
likelihoods

# %% [markdown]
# As probabilities the two are equal. As scores they are not: the first policy never reaches the upper half.
#
# ## A verifier that errs
#
# With binary rewards again and $p = 0.02$, a verifier accepts a wrong answer with probability $a$ and rejects a right
# one with probability $b$. Verdict and answer together are one draw, so the weight of every symmetric estimator is
# exactly $(1-a-b)\, w(a + (1-a-b) p)$. The next cell enumerates all cases: each rollout is right or wrong, accepted
# or not.

# %%
right_rate, a, b = 0.02, 0.1, 0.05
accept_rate = (1 - b) * right_rate + a * (1 - right_rate)
verdicts = np.array(list(itertools.product((0.0, 1.0), repeat=num_rollouts - 1)))
mass = np.prod(np.where(verdicts > 0, accept_rate, 1 - accept_rate), axis=1)
given = {v: mass @ np.asarray(maxrl(jnp.asarray(np.insert(verdicts, 0, v, axis=1), jnp.float32)))[:, 0] for v in (0, 1)}
# A right answer's score pulls p up, a wrong one's down: w is the difference of their mean advantages.
enumerated = (1 - a - b) * (given[1] - given[0])
exact = float(
    maxrl_jax.effective_weight(maxrl_jax.get("maxrl"), right_rate, num_rollouts, false_positive=a, false_negative=b)
)
np.testing.assert_allclose(enumerated, exact, rtol=1e-5)
print(f"by enumeration {enumerated:.4f}, effective_weight {exact:.4f}")

# %%
verifiers = {"no errors": (0.0, 0.0), "b = 0.1": (0.0, 0.1), "a = 0.01": (0.01, 0.0), "a = 0.1": (0.1, 0.0)}
small, large = np.geomspace(1e-4, 1, 100), 256
weights = {
    label: maxrl_jax.effective_weight(
        maxrl_jax.get("maxrl"), small, large, false_positive=errors[0], false_negative=errors[1]
    )
    for label, errors in verifiers.items()
}
lines = {"no errors": "-", "b = 0.1": ":", "a = 0.01": "--", "a = 0.1": "-."}
with style.settings():
    fig, ax = new_figure(width="page", aspect=0.4)
    ax.plot(small, 1 / small, ":", color=COLOURS["ml"], label="maximum likelihood, $1/p$")
    for label, values in weights.items():
        ax.plot(small, values, lines[label], color=COLOURS["maxrl"], label=f"MaxRL, {label}")
    ax.axhline(1, color=COLOURS["rloo"], label="RLOO, no errors")
    ax.set(xscale="log", yscale="log", ylim=(0.5, 500), xlabel="pass rate $p$", ylabel=f"exact weight, $N = {large}$")
    fig.legend(loc="outside right upper")
fig

# %% [markdown]
# False negatives have little effect: they make right answers rarer, and maximum likelihood compensates for rarity.
# False positives cap the weight at $(1-a)/a$ for every $N$. Among prompts well below $p = a$ MaxRL then no longer
# favours the harder ones.

# %%
caps = pd.DataFrame(
    {
        "at p = 0.0001": {label: values[0] for label, values in weights.items()},
        "(1-a-b)/a": {label: (1 - sum(e)) / e[0] if e[0] else np.inf for label, e in verifiers.items()},
    }
)
assert (caps["at p = 0.0001"] < caps["(1-a-b)/a"]).all()
caps

# %% [markdown]
# ## Which estimator to use
#
# - Right or wrong, judged without errors: `maxrl`.
# - A score whose largest values are the goal: `tailrl`. It takes any real rewards, and needs $N$ of about one over
#   the frequency of the best answers.
# - A probability of being right: `maxrl_likelihood`.
# - A verifier that accepts wrong answers at rate $a$: more than about $1/a$ rollouts reduce noise but add no
#   likelihood. That effort is better spent on the verifier.
