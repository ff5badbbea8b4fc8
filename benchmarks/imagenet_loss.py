"""Time of the one-step loss, forward and backward with respect to the logits, for each way of sampling.

    python -m benchmarks.imagenet_loss --batch 256 --classes 1000 --rollouts 16,128,1024,2048

Prints one JSON object: {"counts": {"16": seconds, ...}, "marginal": {...}, "expected": {...},
"seconds_cross_entropy": seconds, ...}, medians. Logits are standard normal, labels uniform, every call has a key of
its own; MaxRL's advantages.

Bytes: the logits are read and their gradient written, 8 B C bytes (2 MB at 256 x 1000), whatever the method; the
published way draws N classes an image by a cumulative search and gathers N log-probabilities. `counts` draws N
uniforms an image (4 B N bytes), `marginal` one binomial number, `expected` nothing.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measure import machine, median_seconds
from maxrl_jax import advantages
from maxrl_jax.categorical import SAMPLINGS, categorical_rollouts


def main() -> None:
    """Runs the benchmark and prints its JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--rollouts", default="16,128,1024,2048")
    parser.add_argument("--advantage", default="maxrl")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=(options.batch, options.classes)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, options.classes, options.batch), jnp.int32)
    counter = itertools.count()

    def seconds(loss: Callable[[jax.Array, jax.Array], jax.Array]) -> float:
        step = jax.jit(jax.value_and_grad(loss))
        return median_seconds(lambda: step(logits, jax.random.key(next(counter))), repeats=options.repeats, warm_up=2)

    adv = advantages.get(options.advantage)

    def rollouts_loss(n: int, sampling: str) -> Callable[[jax.Array, jax.Array], jax.Array]:
        return lambda x, key: categorical_rollouts(x, labels, key, n, adv, sampling)

    counts = [int(n) for n in options.rollouts.split(",")]
    result: dict = {sampling: {str(n): seconds(rollouts_loss(n, sampling)) for n in counts} for sampling in SAMPLINGS}

    def cross_entropy(x: jax.Array, key: jax.Array) -> jax.Array:
        del key
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(x), labels[:, None], axis=1))

    result["seconds_cross_entropy"] = seconds(cross_entropy)
    result["bytes_needed"] = 8 * options.batch * options.classes
    result["batch"], result["classes"] = options.batch, options.classes
    result["advantage"] = str(adv)
    result["machine"] = machine()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
