# %% [markdown]
# # 04 What RL does to a classifier
#
# A classifier is a policy with one action, the class, and a reward for the right one. Its likelihood is known, so
# every RL method can be compared with cross-entropy, which is exact maximum likelihood. This notebook shows which
# images each method learns from, and the noise that sampling adds.

# %%
# %matplotlib inline
# %config InlineBackend.figure_formats = ["retina"]
import contextlib
import io
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from experiments.imagenet import __main__ as driver
from experiments.results import image_runs, style
from experiments.results.style import COLOURS, LABELS, new_figure
from maxrl_jax import advantages, losses, objectives
from maxrl_jax.runs.config.load import load

pd.options.display.float_format = "{:.3f}".format
pd.options.display.width = 120

# %% [markdown]
# ## A classifier that has begun to learn
#
# The experiment's own driver at a small size: a thin ResNet-8, 100 classes of drawn glyphs, cross-entropy. It records
# the pass rate and the gradient norm of 400 validation images under the training loss.

# %%
STEPS = 60
settings = load(
    str(Path(driver.__file__).parents[2] / "configs/imagenet.py") + ":tiny",
    {
        "loss.name": "cross_entropy",
        "data.num_classes": 100,
        "data.image_size": 12,
        "data.jitter": 0.5,
        "model.width": 8,
        "batch_size": 64,
        "steps": STEPS,
        "optimizer.learning_rate": 0.5,
        "optimizer.warmup_steps": 40,
        "eval.every_steps": 30,
        "eval.num_images": 400,
        "eval.batch_size": 200,
        "eval.gradient_norm_step": STEPS,
        "eval.gradient_norm_images": 400,
        "checkpoint.every_steps": 0,
        "wandb.mode": "disabled",
    },
)
# The progress line goes nowhere.
with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
    driver.run(settings, folder)
    run = image_runs.read(Path(folder))
    images = run.gradient_norms()
run.evaluations[["loss", "top1", "pass@1", "pass@16", "pass@128"]]

# %% [markdown]
# Its images now have pass rates of all sizes. The methods differ on the hard ones.

# %%
p = np.clip(images.pass_rate.to_numpy(), 1e-6, 1 - 1e-6)
images.pass_rate.describe()[["min", "25%", "50%", "75%", "max"]].to_frame().T

# %% [markdown]
# ## Weights on images
#
# Every symmetric estimator's expected gradient is $w(p)\,\nabla p$ with its own weight. Cross-entropy's gradient is
# $\nabla \log p = \nabla p / p$. So each method's gradient on an image is cross-entropy's times $p\,w(p)$, the share
# it keeps. These shares are exact at this $N$; nothing is sampled.

# %%
N = 64
methods = {
    "maxrl": advantages.get("maxrl"),
    "grpo": advantages.get("grpo"),
    "rloo": advantages.get("rloo"),
}
kept = {name: p * np.asarray(objectives.effective_weight(adv, p, N)) for name, adv in methods.items()}
grid = np.geomspace(1e-4, 0.999, 200)
fig, (ax, norms) = new_figure(1, 2, width="page", aspect=0.7)
with style.settings():
    ax.axhline(1, color=COLOURS["cross_entropy"], label=LABELS["cross_entropy"])
    norms.plot(p, images.gradient_norm, ".", color=COLOURS["cross_entropy"], markersize=3)
    for name, adv in methods.items():
        label = f"{LABELS[name]}, N={N}"
        ax.plot(grid, grid * np.asarray(objectives.effective_weight(adv, grid, N)), color=COLOURS[name], label=label)
        norms.plot(p, kept[name] * images.gradient_norm, ".", color=COLOURS[name], markersize=3)
    ax.set(xscale="log", yscale="log", ylim=(1e-4, 20), xlabel="pass rate p of the image", title="share kept, p w(p)")
    norms.set(xlabel="pass rate p of the image", title="norm of the image's gradient")
    ax.legend()
fig

# %% [markdown]
# MaxRL keeps the whole gradient of an image with $p \gg 1/N$; it loses $(1-p)^{N-1}$, the probability that the other
# rollouts all fail. RL on expected reward keeps $p$: an image solved one time in a thousand counts a thousandth. GRPO
# is in between on hard images, and its gradient is larger than cross-entropy's where $p$ is above a half.
#
# How much of the whole gradient comes from the harder half of these images?

# %%
harder = p < np.median(p)
share = {
    LABELS[name]: float((factor * images.gradient_norm)[harder].sum() / (factor * images.gradient_norm).sum())
    for name, factor in {"cross_entropy": np.ones_like(p), **kept}.items()
}
share_table = pd.DataFrame(share, index=["share of the harder half"])
share_table

# %% [markdown]
# ## Exact against sampled
#
# Training samples rollouts. With `counts` a gradient has all the noise of $N$ rollouts; `marginal` samples only the
# number of successes and sums over failures exactly; `expected` samples nothing, so its distance from cross-entropy
# is the bias. For one image, 1,000 classes and $p$ = 2 %, the gradient with respect to the logits is computed 500
# times.

# %%
CLASSES, P = 1000, 0.02
logits = jnp.zeros(CLASSES).at[0].set(jnp.log(P / (1 - P) * (CLASSES - 1)))
label = jnp.int32(0)
exact = jax.nn.softmax(logits) - jax.nn.one_hot(0, CLASSES)
sizes = (16, 64, 256, 1024)
DRAWS = 500


def gradients(sampling, n):
    """Gradients of MaxRL's loss at the logits, one a draw: [draws, classes]."""

    def one(key):
        return jax.grad(losses.categorical_rollouts)(logits[None], label[None], key, n, methods["maxrl"], sampling)[0]

    return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(n), DRAWS))


rows = []
for n in sizes:
    weight = objectives.effective_weight(methods["maxrl"], P, n)
    row = {"N": n, "(1-p)^(N-1)": (1 - P) ** (n - 1), "expected: bias": abs(float(P * weight) - 1)}
    for sampling in ("counts", "marginal"):
        found = gradients(sampling, n)
        length = jnp.linalg.norm(exact)
        row[f"{sampling}: bias"] = float(jnp.linalg.norm(found.mean(0) - exact) / length)
        row[f"{sampling}: noise"] = float(jnp.sqrt(jnp.sum(jnp.var(found, axis=0))) / length)
    rows.append(row)
noise_table = pd.DataFrame(rows).set_index("N")
noise_table

# %% [markdown]
# All values are in units of cross-entropy's gradient. The bias is $(1-p)^{N-1}$ in all three cases, within the
# resolution of 500 draws: it comes from $N$ and not from the sampling. `marginal` has less noise than `counts`, which
# also spreads the failures at random over 999 classes; both need $N \gg 1/p$. The cost of `marginal` does not depend
# on $N$, so the table could go on to a million rollouts.

# %%
fig, ax = new_figure()
with style.settings():
    for sampling, line in (("counts", "-"), ("marginal", "--")):
        ax.plot(sizes, noise_table[f"{sampling}: noise"], line, color=COLOURS["maxrl"], label=f"noise, {sampling}")
    ax.plot(sizes, noise_table["expected: bias"], "o-", color=COLOURS["cross_entropy"], label="bias")
    ax.set(xscale="log", yscale="log", ylim=(1e-3, 10), xlabel="rollouts N", ylabel="of cross-entropy's gradient")
    ax.legend()
fig

# %% [markdown]
# The runs behind the figures: `python -m experiments.imagenet --config=configs/imagenet.py:tiny --workdir=DIR`, then
# `python -m experiments.figures --figure=maxrl_fig2,maxrl_fig8,maxrl_fig9 --out=figures --runs=DIR`.
