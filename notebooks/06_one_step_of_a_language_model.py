# %% [markdown]
# # 06 One RL step of a language model
#
# A problem in words, the answers a small model gives to it, what a judge says of them, what GRPO, RLOO and MaxRL make
# of the verdicts, and how that becomes a gradient and a step. Nothing but the package is used: `maxrl_jax.tasks.words`
# gives problems and verdicts, `maxrl_jax.lm` model, rollouts and update, `maxrl_jax.advantages` the methods.

# %%
# %matplotlib inline
# %config InlineBackend.figure_formats = ["retina"]
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import pandas as pd
from flax import nnx

from maxrl_jax import advantages, losses
from maxrl_jax.lm import decoder, rollout, step, update
from maxrl_jax.lm.policy import Policy
from maxrl_jax.tasks import words
from maxrl_jax.tasks.words import task as words_task

pd.options.display.float_format = "{:.3f}".format
pd.options.display.width = 120
pd.options.display.max_colwidth = 80

# %% [markdown]
# ## The model
#
# RL needs a model that is right now and then. This one was taught by `configs/llm.py:words_standin` before its RL: four
# layers, 64 wide. Its teacher misreads some of the words that relate two people, and half of its answers give no
# reasons. It lies in a folder in Hugging Face's format, as any model does.

# %%
NUM_PROBLEMS, NUM_ROLLOUTS = 64, 32
task = words_task.make(seed=0, num_demonstrations=1, num_held_out=NUM_PROBLEMS)
(folder,) = [path for path in (Path("results"), Path("../results")) if path.is_dir()]  # from here or the top
graph, params = nnx.split(decoder.load_hf(folder / "words" / "base"))
policy = Policy(graph, jnp.float32)
print(f"{sum(leaf.size for leaf in jax.tree.leaves(params)):,} parameters")

# %% [markdown]
# ## The prompt
#
# One word is one token, and so is one digit. Problems differ in length, so a batch is padded on the right and goes with
# its lengths.

# %%
prompts = task.held_out
lengths = np.asarray(prompts.lengths)
for i in range(3):
    print(f"{lengths[i]} tokens of {prompts.tokens.shape[1]}, answer {prompts.state[i]}:")
    print("   ", words.decode(prompts.tokens[i, : lengths[i]]))

# %% [markdown]
# ## The answers and their verdicts
#
# Every problem runs through the model once; its answers, all drawn side by side, read the keys and values of that one
# pass. The judge looks for the number in the box: the reward is 1 or 0, and it says why. It does not read the reasons.

# %%
settings = step.Settings(
    num_prompts=NUM_PROBLEMS,
    num_rollouts=NUM_ROLLOUTS,
    sampling=rollout.Settings(task.answer_length, task.stop_tokens, pad_token=task.pad_token),
    aggregation="sequence_sum",
    micro_batch_tokens=4096,
)


@jax.jit
def drawn(params, key):
    answers = step.draw(policy, settings, params, prompts, key, jnp.arange(NUM_PROBLEMS))
    return answers, task.judge(prompts.state, answers.tokens)


answers, verdict = drawn(params, jax.random.key(0))
successes = np.asarray(verdict.rewards.sum(axis=1), int)
print(f"pass@1 {successes.mean() / NUM_ROLLOUTS:.3f}, solved by one of {NUM_ROLLOUTS}: {(successes > 0).mean():.3f}")

# %% [markdown]
# One problem from here on: of those with at least two right answers, the one with the fewest.

# %%
chosen = int(np.argmin(np.where(successes > 1, successes, NUM_ROLLOUTS)))
K, N = int(successes[chosen]), NUM_ROLLOUTS
one = prompts.at(slice(chosen, chosen + 1))
prompt = one.tokens[0, : lengths[chosen]]  # without padding
group = jax.tree.map(lambda leaf: leaf[chosen : chosen + 1], answers)
rewards = verdict.rewards[chosen : chosen + 1].astype(jnp.float32)
right = np.asarray(rewards[0]) == 1
shown = np.argsort(~right, kind="stable")[: K + 5]
print(words.decode(prompt), "-", int(one.state[0]))
table = pd.DataFrame(
    {
        "answer": [words.decode_answer(row) for row in group.tokens[0]],
        "verdict": [task.reasons[reason] for reason in verdict.reasons[chosen]],
    }
)
table.loc[shown]

# %% [markdown]
# ## The advantages
#
# Each method turns the group's rewards into one number an answer.

# %%
methods = {"RLOO": advantages.get("rloo"), "GRPO": advantages.get("grpo"), "MaxRL": advantages.get("maxrl")}
given = {name: method(rewards) for name, method in methods.items()}
for name, values in given.items():
    table[name] = np.asarray(values[0])
table["log-probability"] = np.asarray(group.log_probs[0].sum(axis=-1))
print(f"K = {K} of N = {N} are right")
table.loc[shown]

# %% [markdown]
# Each column sums to zero, and has one value for right answers and one for wrong ones. Under MaxRL a right answer gets
# N/K - 1 and a wrong one -1. RLOO's numbers are smaller by a factor of N/K times (N - 1)/N: to RLOO a rare success is
# worth hardly more than a common one.

# %% [markdown]
# ## The loss and its gradient, the plain way
#
# The gradient estimate is $\frac1N \sum_i A_i \nabla \log \pi(z_i)$, the log-probability of an answer being the sum
# over its tokens. Plainly written: every answer behind a copy of the prompt, N full sequences through the model.


# %%
def plain_log_probs(params, prompt, tokens):
    """Of each token [N, T] of answers to one prompt [S] without padding."""
    whole = jnp.concatenate([jnp.broadcast_to(prompt, (len(tokens), len(prompt))), tokens], axis=1)
    logits = policy.master(params)(whole)[:, len(prompt) - 1 : -1]
    return jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[..., None], axis=-1)[..., 0]


def plain_loss(params, values):
    log_probs = plain_log_probs(params, prompt, group.tokens[0])
    return losses.policy_gradient(log_probs[None], group.mask, values, "sequence_sum")


plain = {name: jax.grad(plain_loss)(params, values) for name, values in given.items()}
norms = pd.Series({name: float(optax.tree.norm(gradient)) for name, gradient in plain.items()}, name="gradient norm")
norms.to_frame()

# %% [markdown]
# The gradients of the three methods differ in length alone. On one group of right and wrong answers every centred
# method is RLOO times a number: the ratios of these norms are the ratios of the advantages. What the methods disagree
# about is how much of a step each problem gets, which notebook 03 shows.
#
# ## The same gradient with the prompt run once
#
# The package's update runs the prompt forward once and backward once, whatever N is: answers attend to its keys and
# values, and the gradients with respect to those are summed before they go back through it.


# %%
@jax.jit
def shared(params, values):
    batch = update.Batch(one.tokens, group.tokens, group.mask, values, prompt_lengths=one.lengths)
    plan = update.Plan.make(1, N, task.answer_length, micro_batch_tokens=4096, num_lengths=1)
    return update.loss_and_gradients(policy.master(params), batch, settings.loss, plan)


result = shared(params, given["MaxRL"])
apart = optax.tree.norm(optax.tree.sub(result.gradients, plain["MaxRL"])) / norms["MaxRL"]
in_plain = N * (len(prompt) + task.answer_length)
in_shared = len(prompt) + int(result.trained_tokens)
print(f"loss {result.loss:.3f}; the two gradients differ by {apart:.1e} of their norm")
print(
    f"tokens through the model: {in_plain:,} the plain way, {in_shared:,} with a shared prompt and answers to their end"
)

# %% [markdown]
# ## A batch of problems of different lengths
#
# Padding must change nothing. Three problems, of two, three and four relations, padded into one batch: the
# log-probabilities of their answers are those that each problem gives alone, without a pad in sight, and those that the
# sampler saw when it drew them.

# %%
(then,) = words.encode("then")  # said once a relation
relations = np.asarray((prompts.tokens == then).sum(axis=1))
places = np.array([int(np.argmax(relations == count)) for count in (2, 3, 4)])
mixed = prompts.at(places)
theirs = jax.tree.map(lambda leaf: leaf[places], answers)
together = step.log_probs(policy, settings, params, mixed, theirs)
alone = jnp.stack(
    [plain_log_probs(params, mixed.tokens[i, : int(mixed.lengths[i])], theirs.tokens[i]) for i in range(len(places))]
)
of_answers = theirs.mask
padding = float(jnp.abs(jnp.where(of_answers, together - alone, 0)).max())
sampler = float(jnp.abs(jnp.where(of_answers, together - theirs.log_probs, 0)).max())
print(f"lengths {lengths[places]}: largest difference to each alone {padding:.1e}, to the sampler's {sampler:.1e}")

# %% [markdown]
# ## One step
#
# AdamW takes the gradient: the right answers become likelier and most of the wrong ones less likely. By how much, in
# nats, is here for each different answer that was drawn, on average.

# %%
_, first = np.unique(np.asarray(group.tokens[0]), axis=0, return_index=True)  # each answer once
is_right = right[first]


@jax.jit
def log_chances(params):
    """Log-probability of each of the different answers drawn."""
    of_tokens = plain_log_probs(params, prompt, group.tokens[0, first])
    return jnp.sum(of_tokens * group.mask[0, first], axis=-1)


adamw = optax.adamw(3e-4, weight_decay=0.01)
before = np.asarray(log_chances(params))
changes = {}
for name, values in given.items():
    updates, _ = adamw.update(shared(params, values).gradients, adamw.init(params), params)
    changes[name] = np.asarray(log_chances(optax.apply_updates(params, updates))) - before
gained = pd.DataFrame({name: [v[is_right].mean(), v[~is_right].mean()] for name, v in changes.items()}).T
gained.columns = ["right", "wrong"]
gained

# %%
fig, ax = plt.subplots(figsize=(4.5, 2.6), layout="constrained")
for chosen_ones, colour, label in ((~is_right, "#7f7f7f", "wrong"), (is_right, "#d55e00", "right")):
    ax.plot(before[chosen_ones], changes["MaxRL"][chosen_ones], "o", color=colour, label=label)
ax.axhline(0, color="black", linewidth=0.8)
ax.set_xlabel("log-probability of an answer before")
ax.set_ylabel("change by MaxRL's step")
ax.legend()
plt.show()

# %% [markdown]
# All three do the same to this problem, up to Adam's epsilon: Adam divides by the size of what it is given, and on one
# group their gradients differ in size alone. Over a batch they do not cancel: there MaxRL gives the problems that are
# hardly ever solved the larger share of the step.
#
# The driver does this for 32 problems a step, all in one program:
#
#     python -m experiments.llm --config=configs/llm.py:words --workdir=runs/words
