# %% [markdown]
# # 02 One family of estimators
#
# RLOO, MaxPO and MaxRL are combinations of the same few vectors in different proportions; so is every other centred
# estimator of binary rewards, including GRPO. This notebook takes them apart. At the end you write your own estimator
# and compute its exact weight, bias and variance. Proofs are in [docs/theory.md](../docs/theory.md), sections 2 to 6.

# %%
# %matplotlib inline
# %config InlineBackend.figure_formats = ["retina"]
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import pandas as pd

from experiments.results import style
from experiments.results.style import COLOURS, LABELS, new_figure
from maxrl_jax import advantages, objectives

pd.options.display.float_format = "{:.3f}".format
pd.options.display.width = 120

# %% [markdown]
# ## The building blocks
#
# Take a group of $N$ rewards. How much does rollout $i$ add to a team of $k$ rollouts? Average the best reward over
# all teams of $k$ that contain it, and subtract the average over all teams that do not: this is $\Delta_i^{(k)}$.
# Times $k$ it is MaxPO's advantage, and $\frac1N \sum_i k \Delta_i^{(k)} S_i$ is unbiased for the gradient of max@k,
# the expected best of $k$. Each column below sums to zero, in every group.

# %%
group = jnp.asarray([0.0, 1.0, 1.5, 1.5, 2.0, 5.0])
teams = range(1, 6)
blocks = {f"k = {k}": np.asarray(advantages.maxpo(group, k=k)) / k for k in teams}
pd.DataFrame({"reward": np.asarray(group), **blocks})

# %% [markdown]
# With $k = 1$ it is RLOO. As $k$ grows the best rollout dominates: in a team of five, only the 5.0 matters.

# %% [markdown]
# ## Mixtures
#
# $\sum_k c_k k \Delta_i^{(k)}$ is unbiased for the gradient of $\sum_k c_k$ max@k. RLOO, MaxPO and MaxRL are three
# choices of $c$.

# %%
n = len(group)
choices = {
    "rloo": ((1.0,), advantages.get("rloo")),
    "maxpo": ((0.0, 0.0, 1.0), advantages.get("maxpo", k=3)),
    "maxrl_order": (tuple(1 / k for k in range(1, n)), advantages.get("maxrl_order", order=n - 1)),
}
pd.DataFrame(
    {
        (LABELS[name], column): np.asarray(values)
        for name, (coefficients, own) in choices.items()
        for column, values in (
            ("as mixture", advantages.mixture(group, coefficients=coefficients)),
            ("own name", own(group)),
        )
    },
    index=pd.Index(np.asarray(group), name="reward"),
)

# %% [markdown]
# On binary rewards the last one is practical MaxRL, $(r_i - \mu)/\mu$, so MaxRL is an estimator for real rewards too.
# For its objective there, cut the rewards at every threshold; each cut gives a binary group. MaxRL of the real
# rewards is the sum over cuts of MaxRL of the binary groups, weighted by the gap around the cut. It maximises the
# likelihood that the reward exceeds $t$, summed over all $t$.

# %%
levels = np.unique(np.asarray(group))
cuts = {}
for low, high in pairwise(levels):
    cuts[f"above {low:g}, gap {high - low:g}"] = (high - low) * np.asarray(advantages.maxrl(group > low))
table = pd.DataFrame(cuts, index=pd.Index(np.asarray(group), name="reward"))
table["sum of the cuts"] = table.sum(axis=1)
table["maxrl_order(5)"] = np.asarray(advantages.maxrl_order(group, order=n - 1))
table

# %% [markdown]
# ## Every centred binary estimator is a mixture
#
# With binary rewards an estimator is two numbers for each number of successes $K$. If it is symmetric and sums to
# zero in every group, it has exactly one set of coefficients, the solution of a linear system whose columns are the
# building blocks.

# %%
num_rollouts = 8
orders = np.arange(1, num_rollouts)


def success_values(advantage):
    """A of a success for K = 1..N-1."""
    return objectives.binary_form(advantage, num_rollouts)[0][1:num_rollouts]


columns = np.stack([success_values(advantages.get("maxpo", k=int(k))) for k in orders], axis=1)
members = {
    "rloo": advantages.get("rloo"),
    "maxpo": advantages.get("maxpo", k=4),
    "maxrl": advantages.get("maxrl"),
    "one_sided_grpo": advantages.get("one_sided_grpo"),
    "grpo": advantages.get("grpo"),
    "ei_leave_one_out": advantages.get("ei_leave_one_out", k=4),
}
coefficients = {name: np.linalg.solve(columns, success_values(adv)).round(9) + 0.0 for name, adv in members.items()}
pd.DataFrame(
    {LABELS[name]: c for name, c in coefficients.items()}, index=pd.Index([f"pass@{k}" for k in orders], name="c")
).T

# %% [markdown]
# Four observations. MaxRL has $c_k = 1/k$ for all of pass@1 to pass@7. The one-sided variant of GRPO is between RLOO
# and MaxRL. **GRPO alternates in sign**: beside $\sqrt7$ times pass@1 it works *against* pass@2, pass@4 and pass@6.
# And EI with the leave-one-out baseline ($k = 4$), known to be biased for max@4, is exactly 4/7 of max@4 plus 4/7 of
# max@3.

# %% [markdown]
# ## Weights
#
# The exact weight of a mixture is the polynomial $\sum_k c_k k (1-p)^{k-1}$, so a centred estimator from $N$ rollouts
# can have any polynomial of degree $N-2$ in $p$ as its weight and nothing else: neither $1/p$ nor the weight of MaxRL
# of order $N$ is possible.

# %%
rates = np.linspace(0.005, 1, 200)
lines = {"ei_leave_one_out": "--", "one_sided_grpo": "-."}
with style.settings():
    fig, ax = new_figure(width="page", aspect=0.42)
    ax.plot(rates, objectives.weight("ml", rates), ":", color=COLOURS["ml"], label="maximum likelihood: $1/p$")
    for name, adv in members.items():
        weights = objectives.effective_weight(adv, rates, num_rollouts)
        label = LABELS[name] + (", $k = 4$" if "k" in dict(adv.hyper) else "")
        ax.plot(rates, weights, lines.get(name, "-"), color=COLOURS[name], label=label)
    ax.set(xlabel="pass rate $p$", ylabel=f"exact weight, $N = {num_rollouts}$", xlim=(0, 1), ylim=(0, 8.5))
    fig.legend(loc="outside right upper")
fig

# %% [markdown]
# MaxPO's weight is nearly zero from $p = 0.7$ on: on a prompt that is solved often, best-of-4 has little left to
# gain. GRPO starts at $\sqrt{N-1}$ and returns to it at $p = 1$, where there is nothing to learn.

# %% [markdown]
# ## Same expectation, different noise
#
# PKPO's estimators, EI and MaxPO are all unbiased for max@4 and differ in their baselines. The table has their exact
# total variance on a prompt with 100 possible answers, 50 of them right with total probability $p$, in units of
# MaxPO's.

# %%
pkpo = {
    "PKPO, no baseline": advantages.get("pkpo", k=4, baseline="none"),
    "PKPO eq. 29 (loo)": advantages.get("pkpo", k=4, baseline="loo"),
    "EI = PKPO eq. 33": advantages.get("expected_improvement", k=4),
    "MaxPO": advantages.get("maxpo", k=4),
    "EI + L1O (biased)": advantages.get("ei_leave_one_out", k=4),
}


def score_norms(p):
    """E|S|^2 on success, on failure, and |grad p|^2, for 50 right and 50 wrong answers, uniform within each."""
    right = np.arange(100) < 50
    policy = np.where(right, p, 1 - p) / 50
    squared = ((np.eye(100) - policy) ** 2).sum(axis=1)
    return squared[0], squared[-1], ((policy * (right - p)) ** 2).sum()


rows = {}
for p in (0.02, 0.1, 0.3, 0.6):
    variance = {name: float(objectives.effective_variance(adv, p, 8, *score_norms(p))) for name, adv in pkpo.items()}
    rows[f"p = {p}"] = {name: value / variance["MaxPO"] for name, value in variance.items()}
pd.DataFrame(rows).T

# %% [markdown]
# Without a baseline the common level of the rewards adds noise, and more of it on easier prompts. MaxPO is the only
# symmetric estimator that is both centred in every group *and* unbiased. Being centred does not mean least variance,
# however: on hard prompts EI, which gives failures zero, can have less.

# %% [markdown]
# ## Write your own
#
# An estimator is a function of the rewards. This one divides as if there had been half a success more, so that a
# single lucky rollout counts less than under MaxRL:


# %%
def softened(rewards, extra=0.5):
    """(r_i - mu) / (mu + extra / N)."""
    mean = jnp.mean(rewards, axis=-1, keepdims=True)
    return (rewards - mean) / (mean + extra / rewards.shape[-1])


# %% [markdown]
# Pass the function itself, or name it: `advantages.get("my_package.my_module:softened", extra=1.0)` in code, and
# `--config.rl.advantage.name=my_package.my_module:softened` on the command line. (In a notebook the module is
# `__main__`.)

# %%
own = advantages.get("__main__:softened", extra=1.0)
print(own)
print(own(jnp.asarray([1.0, 0, 0, 0, 0, 0, 0, 0])))
print(softened(jnp.asarray([1.0, 0, 0, 0, 0, 0, 0, 0])))

# %% [markdown]
# Its exact weight at $N = 8$, the bias of that weight relative to maximum likelihood and to MaxRL of order 7, and its
# variance:

# %%
maxrl = advantages.get("maxrl")
rows = {}
for p in (0.01, 0.05, 0.2, 0.5):
    weight = float(objectives.effective_weight(softened, p, 8))
    rows[f"p = {p}"] = {
        "weight": weight,
        "MaxRL": float(objectives.effective_weight(maxrl, p, 8)),
        "against 1/p": weight - float(objectives.weight("ml", p)),
        "against order 7": weight - float(objectives.weight("maxrl", p, order=7)),
        "variance": float(objectives.effective_variance(softened, p, 8, *score_norms(p))),
        "MaxRL's variance": float(objectives.effective_variance(maxrl, p, 8, *score_norms(p))),
    }
own_table = pd.DataFrame(rows).T
own_table

# %% [markdown]
# Since it is symmetric and centred, it has coefficients:

# %%
own_coefficients = pd.DataFrame(
    {"softened": np.linalg.solve(columns, success_values(softened)), "MaxRL": coefficients["maxrl"]},
    index=[f"pass@{k}" for k in orders],
).T
own_coefficients

# %% [markdown]
# The added half success lowers the coefficient of every pass@k, the more the larger $k$: less weight on hard prompts
# than MaxRL, and less variance. Every driver of the project takes the estimator by its name, without a change to the
# package.
