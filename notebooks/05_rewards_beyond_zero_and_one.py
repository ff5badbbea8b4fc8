# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05 Rewards beyond 0 and 1
#
# MaxRL is maximum likelihood of being right. What if an answer can be half right? If the judge says how likely it is
# to be right? If the judge errs? One prompt is followed through all three. Proofs are in
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
# hardly ever finds the right one.

# %%
levels = np.array([0.0, 0.5, 1.0])
chances = np.array([0.68, 0.30, 0.02])
names = ["worthless", "half right", "right"]
mean_reward = float(chances @ levels)
pd.DataFrame({"reward": levels, "chance": chances}, index=names).T

# %% [markdown]
# Eight rollouts, one of them lucky, and what four estimators make of the group. `tailrl` and `maxrl_likelihood` are
# two extensions of MaxRL to graded rewards; on rewards of 0 and 1 both are `maxrl`.

# %%
group = jnp.array([0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 1.0])
methods = {name: jax.jit(maxrl_jax.get(name)) for name in ("rloo", "grpo", "maxrl_likelihood", "tailrl")}
advantages = pd.DataFrame(
    {LABELS[name]: np.asarray(method(group)) for name, method in methods.items()},
    index=pd.Index(np.asarray(group), name="reward"),
)
advantages

# %% [markdown]
# All columns sum to zero. Counted from a worthless answer, the right one gets twice what a half-right one gets under
# RLOO and GRPO, as in the rewards; 2.6 times as much under `maxrl_likelihood`, and 5 times under `tailrl`.
#
# ## Layers
#
# Why? Cut the rewards at a threshold: above it an answer counts as right, below as wrong, and the group is binary.
# TailRL is practical MaxRL of every such group, times the reward that lies between one cut and the next:

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
# Each layer is maximum likelihood of its own event, so the sum ascends
# $\frac12 \log P(g \ge \frac12) + \frac12 \log P(g = 1)$: in general $\int \log P(g > t)\,dt$, truncated at order
# $N-1$. One success in eight weighs $8 - 1 = 7$ in its layer, as it would under MaxRL.
#
# ## The exact pull
#
# In expectation a symmetric estimator pulls every level with a weight of its own, $\sum_l a_l \nabla p_l$, where $a_l$
# is the mean advantage of a rollout on level $l$ over everything the other $N - 1$ may be. With $N = 6$ these are
# $3^5$ cases: we go through all of them. A constant added to all $a_l$ changes nothing, as the chances sum to one, so
# worthless is set to 0.

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
# RLOO values the two as their rewards, 2 to 1. So does `maxrl_likelihood`: on average it is a stronger pull in the same
# direction. GRPO values the right answer less than that, as a group that holds one has a larger standard deviation.
# TailRL is the one for which the rare answer is worth more than its reward. Both MaxRLs are what they
# promise, truncated at order $N - 1 = 5$:

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
# How much is the step from half right to right worth, the rarer the right answer is?

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
# TailRL climbs to $\frac12 (N - 1) = 2.5$ and would go on with more rollouts. The others are flat where the right
# answer is rare: what they see is the half-right answers' reward, and more rollouts do not change that.
#
# ## Rewards that are probabilities
#
# So is `maxrl_likelihood` the worse one? It answers another question. Suppose the judge cannot tell, and its 1/2 means
# *this answer is right with probability 1/2*. Then $E[g]$ is the chance of being right, $\log E[g]$ is maximum
# likelihood, and thresholds have no meaning. One could accept every rollout with probability $g_i$ and give the
# result to MaxRL. That is noisy; its mean over all $2^N$ acceptances is not, and it is what the estimator computes:

# %%
acceptances = np.array(list(itertools.product((0.0, 1.0), repeat=len(group))))
probability = np.prod(np.where(acceptances > 0, np.asarray(group), 1 - np.asarray(group)), axis=1)
over_acceptances = probability @ np.asarray(maxrl(jnp.asarray(acceptances, jnp.float32)), np.float64)
np.testing.assert_allclose(over_acceptances, advantages[LABELS["maxrl_likelihood"]], atol=1e-5)
pd.DataFrame(
    {"mean of MaxRL over acceptances": over_acceptances, "maxrl_likelihood": advantages[LABELS["maxrl_likelihood"]]}
)

# %% [markdown]
# Two policies tell the two likelihoods apart. One answers half right for certain, the other right half of the time:

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
# For a probability they are worth the same. For a score they are not: the first never clears the upper half.
#
# ## A verifier that errs
#
# Back to right and not right, $p = 0.02$, and a verifier that accepts a wrong answer with probability $a$ and rejects
# a right one with probability $b$. Verdict and answer together are one draw, so the weight of every symmetric
# estimator is exactly $(1-a-b)\, w(a + (1-a-b) p)$. Here it is by going through all cases: rollout 1 is right or
# wrong, accepted or not, and so are the others.

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
# False negatives hardly show: a right answer that is missed is a rarer right answer, and maximum likelihood makes up
# for rarity. False positives cap the weight at $(1-a)/a$, whatever $N$ is. Among prompts well below $p = a$ MaxRL
# then no longer prefers the harder one.

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
# ## Which one
#
# - Right or wrong, judged without errors: `maxrl`.
# - A score whose best values are the goal: `tailrl`. It takes any real rewards, and $N$ about as large as the best
#   answers are rare.
# - A probability of being right: `maxrl_likelihood`.
# - A verifier that lets wrong answers through at rate $a$: more than about $1/a$ rollouts buy less noise, and no
#   more likelihood. Better spend them on the verifier.
