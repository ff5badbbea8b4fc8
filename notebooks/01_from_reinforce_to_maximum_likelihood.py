# %% [markdown]
# # 01 From REINFORCE to maximum likelihood
#
# One prompt, three answers, and every number computed exactly: REINFORCE, GRPO, MaxRL and maximum likelihood on a
# policy that is right one time in ten. Proofs are in [docs/theory.md](../docs/theory.md). It runs on a CPU in under a
# minute.

# %%
# %matplotlib inline
# %config InlineBackend.figure_formats = ["retina"]
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from experiments.results import style
from experiments.results.style import COLOURS, LABELS, new_figure, shades
from maxrl_jax import advantages, categorical, objectives

pd.options.display.float_format = "{:.4f}".format
pd.options.display.width = 120

# %% [markdown]
# ## The prompt
#
# "2 + 3 = ?" The policy is a softmax over three answers, and only the first is right. Its pass rate is $p = 0.1$.

# %%
answers = ["5", "4", "6"]
policy = np.array([0.1, 0.6, 0.3])
rewards = np.array([1.0, 0.0, 0.0])
p = float(policy @ rewards)
p

# %% [markdown]
# ## From RL to maximum likelihood
#
# RL maximises $p$, maximum likelihood $\log p$. Between them are the truncations of a series: the power series of the
# logarithm in the failure rate, $\log p = -\sum_{k \ge 1} (1-p)^k / k$, cut after $T$ terms. Its $k$-th term contains
# the probability that $k$ tries all fail, so order $T$ depends on pass@1 to pass@$T$.

# %%
orders = [1, 2, 3, 4, 10, 100]
pd.DataFrame(
    {
        "pass@T": [float(objectives.pass_at_k(p, t)) for t in orders],
        "J of order T": [float(objectives.maxrl(p, t)) for t in orders],
        "log p": [float(objectives.log_likelihood(p))] * len(orders),
    },
    index=pd.Index(orders, name="T"),
)

# %% [markdown]
# All their gradients point along $\nabla p$ and differ only by a factor, the weight $w(p)$: 1 for RL, $1/p$ for
# maximum likelihood, $(1 - (1-p)^T)/p$ for order $T$. At $p = 0.1$ the weight of order 10 is 6.5 times that of RL.

# %%
pd.Series(
    {
        "RL": float(objectives.weight("rl", p)),
        "GRPO, many rollouts": float(objectives.weight("grpo", p)),
        "MaxRL of order 10": float(objectives.weight("maxrl", p, order=10)),
        "maximum likelihood": float(objectives.weight("ml", p)),
    },
    name="w(0.1)",
)

# %%
rates = np.geomspace(1e-3, 0.999, 300)
curves = {r"maximum likelihood: $1/p$": (objectives.weight("ml", rates), COLOURS["ml"])}
for order, colour in zip((128, 32, 8, 2), reversed(shades("maxrl", 4)), strict=True):
    curves[f"MaxRL of order {order}"] = (objectives.weight("maxrl", rates, order=order), colour)
curves[r"GRPO: $1/\sqrt{p(1-p)}$"] = (objectives.weight("grpo", rates), COLOURS["grpo"])
curves["RL: 1"] = (objectives.weight("rl", rates), COLOURS["rl"])

with style.settings():
    fig, ax = new_figure(width="page", aspect=0.42)
    for name, (weights, colour) in curves.items():
        ax.plot(rates, weights, color=colour, label=name)
    ax.axvline(p, color="0.5", linewidth=0.8, linestyle=":", label="our prompt")
    ax.set(xscale="log", yscale="log", xlabel="pass rate $p$", ylabel="weight $w(p)$", ylim=(0.7, 1100))
    fig.legend(loc="outside right upper")
fig

# %% [markdown]
# Read the plot from right to left: as a prompt gets harder, MaxRL follows maximum likelihood until $p \approx 1/T$
# and then stays at $T$. GRPO's weight rises at both ends, and more rollouts do not turn it into maximum likelihood.

# %% [markdown]
# ## From rewards to advantages
#
# In practice we see $N$ rollouts and their rewards. Every estimator here is a function from those rewards to
# advantages $A_i$, with the gradient estimate $\frac1N \sum_i A_i S_i$, where $S_i$ is the score of rollout $i$. The
# table shows ten rollouts with one success and with two; its entries are $A_i/N$, the factors of the scores.

# %%
names = ["reinforce", "rloo", "grpo", "success_mean", "maxrl_unbiased", "maxrl"]
groups = {k: jnp.arange(10) < k for k in (1, 2)}
pd.DataFrame(
    {
        (f"K = {k}", which): [float(advantages.get(name)(group)[i]) / 10 for name in names]
        for k, group in groups.items()
        for which, i in (("success", 0), ("failure", -1))
    },
    index=[LABELS[name] for name in names],
)

# %% [markdown]
# `success_mean` (MaxRL eq. 6) divides by the number of successes instead of the number of rollouts: it averages the
# scores of the right answers. `maxrl_unbiased` (eq. 7) also subtracts the mean score of all rollouts. `maxrl` does
# the same but is zero when no rollout succeeds.

# %% [markdown]
# ## The objective of each estimator
#
# `effective_weight` is the exact $w$ with $\mathbb{E}[\frac1N \sum_i A_i S_i] = w \nabla p$ at finite $N$. Beside it
# is the mean over 20,000 sampled groups, from the gradient of the package's one-step loss.

# %%
num_rollouts, num_groups = 10, 20_000
logits = jnp.broadcast_to(jnp.log(jnp.asarray(policy, jnp.float32)), (num_groups, 3))
labels = jnp.zeros(num_groups, jnp.int32)
direction = p * (rewards - policy)  # grad p in the logits


def sampled_gradients(name):
    """One gradient estimate a row, [num_groups, 3]."""

    def total(x):
        terms = categorical.categorical_terms(x, labels, jax.random.key(0), num_rollouts, advantages.get(name))
        return terms.loss.sum()

    return -np.asarray(jax.jit(jax.grad(total))(logits), np.float64)


rows = {}
for name in names:
    estimates = sampled_gradients(name)
    along = estimates @ direction / (direction @ direction)
    rows[LABELS[name]] = {
        "exact w": float(objectives.effective_weight(advantages.get(name), p, num_rollouts)),
        "sampled w": along.mean(),
        "standard error": along.std() / np.sqrt(num_groups),
    }
estimates_table = pd.DataFrame(rows).T
estimates_table

# %% [markdown]
# REINFORCE and RLOO estimate RL at every $N$: more rollouts only reduce noise. The success mean and eq. 7 have weight
# $(1 - 0.9^{10})/0.1 = 6.5$: they estimate order 10. Practical MaxRL has $(1 - 0.9^9)/0.1 = 6.1$: order 9. Dropping
# both terms when $K = 0$ lowers the order by exactly one, the weight by $(1-p)^{N-1}$:

# %%
sizes = np.array([2, 4, 8, 16, 32, 64])
pd.DataFrame(
    {
        "eq. 7": [float(objectives.effective_weight(advantages.get("maxrl_unbiased"), p, n)) for n in sizes],
        "practical": [float(objectives.effective_weight(advantages.get("maxrl"), p, n)) for n in sizes],
        "order N-1": [float(objectives.weight("maxrl", p, order=int(n) - 1)) for n in sizes],
        "share of 1/p": [p * float(objectives.effective_weight(advantages.get("maxrl"), p, n)) for n in sizes],
    },
    index=pd.Index(sizes, name="N"),
)

# %% [markdown]
# ## Does the control variate help?
#
# Subtracting the mean score $V = \frac1N \sum_i S_i$ changes no expectation; it is meant to lower the variance.
# `effective_variance` gives the exact total variance. It needs the mean squared score of successes and of failures,
# and $|\nabla p|^2$; for this softmax they take three lines.

# %%
scores = np.eye(3) - policy
squared = (scores**2).sum(axis=1)
norms = (squared[0], policy[1:] @ squared[1:] / (1 - p), direction @ direction)

sizes = np.unique(np.geomspace(2, 256, 40).astype(int))
variances = {
    name: np.array([float(objectives.effective_variance(advantages.get(name), p, int(n), *norms)) for n in sizes])
    for name in ("success_mean", "maxrl_unbiased", "maxrl")
}
with style.settings():
    fig, ax = new_figure(width="page", aspect=0.42)
    for (name, values), line in zip(variances.items(), ("-", "--", "-"), strict=True):
        ax.loglog(sizes, values, line, color=COLOURS[name], label=LABELS[name])
    ax.set(xlabel="rollouts $N$", ylabel="total variance at $p = 0.1$", ylim=(1e-3, 1))
    ax.legend(loc="lower left")
fig

# %% [markdown]
# At $N = 10$ it helps, a little. With one right answer and enough rollouts it hurts: nearly every group then has a
# success, all successes share one score, and the success mean hardly varies, while the variance of $V$ still falls
# only as $1/N$. Theory, section 5.4, has the exact condition. With many different right answers it helps again:

# %%
rng = np.random.default_rng(0)
many = np.concatenate([p * rng.dirichlet(np.ones(50)), (1 - p) * rng.dirichlet(np.ones(50))])
right = np.arange(100) < 50
many_squared = ((np.eye(100) - many) ** 2).sum(axis=1)
many_norms = (
    many @ (many_squared * right) / p,
    many @ (many_squared * ~right) / (1 - p),
    ((many * (right - p)) ** 2).sum(),
)
rows = {}
for count, these in ((1, norms), (50, many_norms)):
    for n in (10, 64):
        rows[f"right answers: {count}, N = {n}"] = {
            LABELS[name]: float(objectives.effective_variance(advantages.get(name), p, n, *these)) for name in variances
        }
pd.DataFrame(rows).T

# %% [markdown]
# ## The effect on learning
#
# Three prompts with initial pass rates of 0.5, 0.05 and 0.005, each with its own logits, are trained by plain
# gradient ascent on the exact expected gradient at $N = 64$ (`sampling="expected"` has no noise, so only the
# objectives differ).

# %%
start = np.array([0.5, 0.05, 0.005])
initial = jnp.log(jnp.stack([start, 1 - start], axis=-1))
correct = jnp.zeros(3, jnp.int32)


def pass_rates(loss, steps=300, step_size=0.3):
    """Pass rates [steps + 1, 3] under gradient descent on a loss of the logits [3, 2]."""

    def step(x, _):
        return x - step_size * jax.grad(loss)(x), jax.nn.softmax(x)[:, 0]

    last, curve = jax.jit(lambda x: jax.lax.scan(step, x, length=steps))(initial)
    return np.concatenate([curve, jax.nn.softmax(last)[None, :, 0]])


def expected_loss(name):
    def loss(x):
        terms = categorical.categorical_terms(x, correct, jax.random.key(0), 64, advantages.get(name), "expected")
        return terms.loss.sum()

    return loss


learning = {name: pass_rates(expected_loss(name)) for name in ("rloo", "grpo", "maxrl")}
learning["cross_entropy"] = pass_rates(lambda x: -jax.nn.log_softmax(x)[:, 0].sum())

# %%
with style.settings():
    fig, axes = new_figure(1, 3, width="page", aspect=0.9, sharey=True)
    for ax, column, rate in zip(axes, range(3), start, strict=True):
        for name, curve in learning.items():
            line = "--" if name == "cross_entropy" else "-"
            ax.plot(curve[:, column], line, color=COLOURS[name], label=LABELS[name])
        ax.set(xlabel="step", title=f"starts at {rate}")
    axes[0].set(ylabel="pass rate", ylim=(0, 1.02))
    axes[0].legend(loc="lower right")
fig

# %% [markdown]
# On the easy prompt every method works. The harder the prompt, the longer RL takes to start, and to a lesser degree
# GRPO: from 0.005 RL has hardly moved after 300 steps. MaxRL with 64 rollouts matches cross-entropy where $p$ is well
# above $1/64$ and is a few steps behind elsewhere. Notebook 02 puts all these estimators into one family.
