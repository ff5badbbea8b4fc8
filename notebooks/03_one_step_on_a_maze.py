# %% [markdown]
# # 03 One RL step on a maze
#
# One step of `experiments.maze` in its parts: the prompt, the answers, the verifier's verdicts, each estimator's
# advantages, and the gradients. The policy is a small transformer that was fine-tuned on solutions (9 x 9 mazes,
# two layers, 125,504 parameters), stored in `results/maze_9/base`.

# %%
# %matplotlib inline
# %config InlineBackend.figure_formats = ["retina"]
import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd

import experiments
from experiments.lm.tasks import table
from experiments.results import style
from experiments.results.style import COLOURS, LABELS, new_figure
from maxrl_jax import advantages, metrics, objectives
from maxrl_jax.lm import step
from maxrl_jax.runs.config.load import load
from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import pictures

pd.options.display.float_format = "{:.3f}".format
pd.options.display.width = 120

# %%
root = Path(experiments.__file__).parents[1]
base = str(root / "results/maze_9/base")
config = load(f"{root}/configs/maze.py:tiny", {"model.init_from": base, "sft.steps": 0})
setup = table.set_up(config)
params = setup.init_params()
NUM_MAZES, NUM_ROLLOUTS = 16, 32
prompts = setup.task.held_out.at(slice(NUM_MAZES))
mazes = prompts.state
settings = dataclasses.replace(setup.step, num_prompts=NUM_MAZES, num_rollouts=NUM_ROLLOUTS)

# %% [markdown]
# ## The prompt
#
# A maze is a sequence of tokens, row by row. The policy processes it once; all rollouts share the keys and values of
# that one pass.

# %%
print(f"{prompts.tokens.shape[1]} tokens: {maze.decode(prompts.tokens[0])[:90]} ...\n")
print(maze.draw(mazes.walls[0]))
print("the solution:", maze.arrows(mazes.solution[0]))

# %% [markdown]
# ## The rollouts and their rewards
#
# Every maze gets the same number of answers, sampled at temperature 1. The verifier follows the moves: reward 1 for
# reaching the goal and saying DONE, 0 for everything else, with a reason.


# %%
@jax.jit
def sample(params, prompts, key):
    answers = step.draw(setup.policy, settings, params, prompts, key, jnp.arange(NUM_MAZES))
    return answers, setup.task.judge(prompts.state, answers.tokens)


answers, verdict = sample(params, prompts, jax.random.key(0))
rewards = verdict.rewards
successes = np.asarray(rewards.sum(axis=1), int)
reasons = pd.Series(np.asarray(verdict.reasons).ravel()).map(dict(enumerate(maze.REASONS))).value_counts()
print(f"pass@1 {rewards.mean():.3f}, pass@8 {metrics.pass_at_k(NUM_ROLLOUTS, successes, [8]).mean():.3f}")
print("successes of each maze:", successes)
reasons.to_frame("answers")

# %% [markdown]
# A maze that few rollouts solve, with a right and a failed answer:

# %%
chosen = int(np.argmin(np.where(successes > 0, successes, NUM_ROLLOUTS)))
right = int(np.argmax(rewards[chosen]))
failed = int(np.argmin(rewards[chosen]))
pictures.figure(
    mazes.walls[chosen],
    {"one answer": answers.tokens[chosen, right], "another": answers.tokens[chosen, failed]},
    solution=mazes.solution[chosen],
)

# %% [markdown]
# ## The advantages
#
# Here the methods differ. Each turns one maze's rewards into one number per rollout; the gradient estimate is always
# $\frac1N \sum_i A_i S_i$. The table shows the hardest maze that was solved at all and the easiest that was not
# always solved:

# %%
methods = {
    "rloo": advantages.get("rloo"),
    "grpo": advantages.get("grpo"),
    "maxpo": advantages.get("maxpo", k=8),
    "maxrl": advantages.get("maxrl"),
}
some_failed = np.where(successes < NUM_ROLLOUTS, successes, 0)
rows = {}
for caption, place in (("hardest", chosen), ("easiest", int(np.argmax(some_failed)))):
    for name, method in methods.items():
        values = np.asarray(method(rewards[place]))
        won = np.asarray(rewards[place]) > 0
        rows[caption, LABELS[name]] = {
            "K of N": f"{successes[place]} of {NUM_ROLLOUTS}",
            "a success": values[won][0],
            "a failure": values[~won][0],
            "sum": values.sum(),
        }
by_maze = pd.DataFrame(rows).T
by_maze

# %% [markdown]
# All of them are centred. On the hard maze a single success has advantage $N - 1$ under MaxRL and 1 under RLOO. On
# the easy maze the order is reversed: there MaxRL's advantages are small. On a maze that no rollout or every rollout
# solves, all advantages are exactly zero, and its answers are left out of the backward pass.

# %%
idle = (successes == 0) | (successes == NUM_ROLLOUTS)
print(f"{idle.sum()} of {NUM_MAZES} mazes have nothing to say at N = {NUM_ROLLOUTS}")
assert all(not np.asarray(method(rewards))[idle].any() for method in methods.values())

# %% [markdown]
# ## The gradients
#
# In expectation each method multiplies a maze's $\nabla p$ by a weight $w(p)$ that depends on the pass rate alone and
# is known exactly at this $N$. The norm of each maze's gradient shows it, relative to RLOO, whose weight is one: dots
# are ratios of norms on the same rollouts, lines the exact weights.


# %%
def gradient_norms(params, prompt, answers, verdict):
    """Norms of one maze's gradients, [methods]."""
    alone = jax.tree.map(lambda leaf: leaf[None], (prompt, answers, verdict))
    one = dataclasses.replace(settings, num_prompts=1)

    def norm(method):
        return optax.tree.norm(step.learn(setup.policy, setup.task, method, one, params, *alone).gradients)

    return jnp.stack([norm(method) for method in methods.values()])


inputs = (prompts, answers, verdict)
norms = np.asarray(jax.jit(lambda p, x: jax.lax.map(lambda one: gradient_norms(p, *one), x))(params, inputs))

# %%
grid = np.linspace(0.01, 0.99, 99)
rates = successes / NUM_ROLLOUTS
fig, ax = new_figure(aspect=0.75)
with style.settings():
    for j, (name, method) in enumerate(methods.items()):
        exact = objectives.effective_weight(method, grid, NUM_ROLLOUTS)
        ax.plot(grid, exact, color=COLOURS[name], label=LABELS[name] + (", k=8" if name == "maxpo" else ""))
        ax.plot(rates[~idle], norms[~idle, j] / norms[~idle, 0], "o", color=COLOURS[name], markersize=3)
    ax.set_yscale("log")
    ax.set_ylim(0.01, 60)
    ax.set_xlabel("pass rate of the maze")
    ax.set_ylabel("weight (RLOO = 1)")
    ax.legend()
fig

# %% [markdown]
# The dots follow the lines without lying on them: a line is an expectation over groups, a dot is one group, whose
# pass rate is estimated from the same rollouts. On one group of binary rewards every centred estimator is RLOO times
# a number, so the gradients differ in length but not in direction. The methods differ in each maze's share of the
# step, and that share decides whether hard mazes are learned or abandoned:

# %%
share = pd.DataFrame(norms / norms.sum(axis=0), columns=[LABELS[name] for name in methods])
share.insert(0, "pass rate", rates)
bands = pd.cut(share["pass rate"], [-0.01, 0.0, 0.1, 0.3, 1.0], labels=["0", "up to 0.1", "0.1 to 0.3", "above 0.3"])
by_band = share.drop(columns="pass rate").groupby(bands, observed=True).sum()
by_band.insert(0, "mazes", bands.value_counts().reindex(by_band.index))
by_band

# %% [markdown]
# The driver does this for every maze of a batch in one jitted program, several steps per call:
#
#     python -m experiments.maze --config=configs/maze.py:tiny --workdir=runs/maze
#
# and `make demo` trains MaxRL, GRPO and RLOO from a base of 11 x 11 mazes.
