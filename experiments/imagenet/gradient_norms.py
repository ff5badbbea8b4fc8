"""The norm of each image's own gradient against its pass rate, for any loss at any parameters (MaxRL Figure 8)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd

from experiments.imagenet import evaluation
from experiments.imagenet import loss as losses_module
from experiments.imagenet.problem import Problem
from maxrl_jax import keys
from maxrl_jax.devices import sharding
from maxrl_jax.vision import resnet


@dataclasses.dataclass(frozen=True)
class Loss:
    """A loss ``of(logits [C], label, key)``, its estimator's name or cross_entropy, and N (0 for cross-entropy)."""

    name: str
    num_rollouts: int
    of: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def make_loss(advantage: Any, num_rollouts: int, sampling: str) -> Loss:
    """The loss of one image under an estimator, or cross-entropy for None."""

    def of(logits: jax.Array, label: jax.Array, key: jax.Array) -> jax.Array:
        return losses_module.terms(logits, label, key, num_rollouts, advantage, sampling).loss

    if advantage is None:
        return Loss("cross_entropy", 0, of)
    return Loss(str(advantage), num_rollouts, of)


def norms(
    network: resnet.Network, params: Any, stats: Any, images: jax.Array, labels: jax.Array,
    losses: Sequence[Loss], key: jax.Array, chunk: int,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Pass rates pi(y*) [M] and norms [M, losses], by the running batch statistics: an image's gradient is its own.

    Image i uses fold_in(key, i). The gradients of ``chunk`` images are held at once, each as large as the parameters.
    """

    def of_image(
        params: Any, stats: Any, image: jax.Array, label: jax.Array, number: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        logits, pull_back = jax.vjp(lambda p: network.predict(p, stats, image[None])[0], params)
        own = jax.random.fold_in(key, number)
        lengths = []
        for place, loss in enumerate(losses):
            (gradient,) = pull_back(jax.grad(loss.of)(logits, label, jax.random.fold_in(own, place)))
            lengths.append(optax.tree.norm(gradient))
        return jax.nn.softmax(logits)[label], jnp.stack(lengths)

    # Parameters are arguments; captured by the closure they would be constants of the program.
    of_chunk = jax.jit(jax.vmap(of_image, in_axes=(None, None, 0, 0, 0)))
    rates, values = [], []
    for first in range(0, len(labels), chunk):
        # The last chunk is padded with its last image, so that one program serves every chunk.
        ids = np.minimum(np.arange(first, first + chunk), len(labels) - 1)
        rate, value = of_chunk(params, stats, images[ids], labels[ids], jnp.asarray(ids))
        rates.append(np.asarray(rate))
        values.append(np.asarray(value))
    return np.concatenate(rates)[: len(labels)], np.concatenate(values)[: len(labels)]


def validation_sample(problem: Problem, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A random sample of the validation images without replacement: (images [M, H, W, channels], labels [M])."""
    key = keys.stream(problem.config.data.seed, "gradient_norm_images")
    order = np.asarray(jax.random.permutation(key, problem.num_validation))
    wanted = set(order[:count].tolist())
    draw = jax.jit(problem.validation_batch, out_shardings=sharding.replicated(problem.mesh))
    images, labels, place = [], [], 0
    for batch in problem.validation_batches(evaluation.batch_size(problem)):
        image, label, mask = (np.asarray(array) for array in draw(batch))
        real = int(mask.sum())
        chosen = [i for i in range(real) if place + i in wanted]
        images.append(image[chosen])
        labels.append(label[chosen])
        place += real
    return np.concatenate(images), np.concatenate(labels)


def table(problem: Problem, state: dict[str, Any], losses: Sequence[Loss], step: int) -> pd.DataFrame:
    """One row an image and loss: step, image, label, pass_rate, method, rollouts, gradient_norm."""
    config = problem.config
    images, labels = validation_sample(problem, config.eval.gradient_norm_images)
    chunk = config.eval.gradient_norm_chunk or 16
    key = keys.stream(config.seed, "gradient_norms", step)
    # Gathered once on this device, whatever the run's sharding.
    whole = jax.device_put(jax.tree.map(sharding.to_host, (state["params"], state["batch_stats"])))
    rates, values = norms(problem.network, *whole, images, labels, losses, key, min(chunk, len(labels)))
    table = pd.DataFrame({"step": step, "image": np.arange(len(labels)), "label": labels, "pass_rate": rates})
    rows = [
        table.assign(method=loss.name, rollouts=loss.num_rollouts, gradient_norm=norm)
        for loss, norm in zip(losses, values.T, strict=True)
    ]
    return pd.concat(rows, ignore_index=True)
