"""Images a second of a whole training step, for cross-entropy and for RL at several N, and of its parts alone.

    python -m benchmarks.imagenet_step --config configs/imagenet.py:tiny --rollouts 16,128,1024,2048

Prints one JSON object. A step is the driver's own: images, forward, loss, backward, SGD, metrics, one jitted and
donated program. `steps` has for each loss seconds_step, images_per_second, seconds_loss (the loss alone, forward and
backward with respect to the logits), loss_share (of its step) and over_cross_entropy (its step over cross-entropy's, 0
is the same). `model` is forward and backward with a fixed gradient of the logits, no loss and no update; `input` makes
the images alone. All are medians over rounds in which every program is timed in turn, so that a machine that slows
down slows all of them.

Images of `paper` and `pod` are constant ones on the device; with --data_dir the input is read and timed as well, on
its own. The loss reads the logits and writes their gradient, 8 B C bytes, beside a model of 3 x 2 x 4.1e9 x B FLOP for
ResNet-50: at B = 256, C = 1,000 on a device with 400 TFLOP/s and 3 TB/s that is 1 microsecond beside 16 milliseconds,
so what the loss may cost is launches and the drawing of N rollouts, not traffic.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measure import machine
from benchmarks.rl_step import device_rates
from experiments.imagenet import loss as losses
from experiments.imagenet import training
from experiments.imagenet.problem import Problem, make_images, model_config
from maxrl_jax import advantages
from maxrl_jax.devices import sharding
from maxrl_jax.devices.precision import compute_dtype
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.config.load import load
from maxrl_jax.vision import resnet


class Constant:
    """A source of one batch, kept on the device."""

    def __init__(self, config: Any, mesh: Any):
        shape = (config.batch_size, config.data.image_size, config.data.image_size, model_config(config).channels)
        images = jax.random.normal(jax.random.key(0), shape)
        labels = jax.random.randint(jax.random.key(1), shape[:1], 0, config.data.num_classes)
        self.batch = sharding.shard_batch((images, labels), mesh)

    def training_batch(self, step: jax.Array, host_batch: Any) -> tuple[jax.Array, jax.Array]:
        """The batch, which is an argument so that it is not a constant of the program."""
        del step
        return host_batch


class Programs:
    """The programs of one config, each a call without arguments that returns arrays to wait for."""

    def __init__(self, config: Any, rollouts: list[int], samplings: list[str], advantage: str):
        self.config = config
        mesh = checks.mesh(config)
        images = make_images(config)
        self.drawn = images.host_batches is None
        self.source: Any = images if self.drawn else Constant(config, mesh)
        network = resnet.Network.make(model_config(config), compute_dtype(config.model.compute_dtype))
        self.problem = Problem(config, network, self.source, mesh)
        self.state = sharding.shard_parameters(training.make_state(self.problem), mesh)
        self.host_batch = None if self.drawn else jax.tree.map(lambda leaf: leaf[None], self.source.batch)
        self.counter = itertools.count()
        estimator = advantages.get(advantage)
        self.losses: dict[str, tuple[Any, int, str]] = {"cross_entropy": (None, 1, "counts")}
        for sampling, n in itertools.product(samplings, rollouts):
            self.losses[f"{advantage} {sampling} {n}"] = (estimator, n, sampling)
        self.flops = 0.0

    def steps(self) -> dict[str, Callable[[], Any]]:
        """The whole step with each loss; they pass one state on."""
        return {name: self._step(*loss) for name, loss in self.losses.items()}

    def _step(self, estimator: Any, n: int, sampling: str) -> Callable[[], Any]:
        with self.config.unlocked():
            self.config.loss.num_rollouts, self.config.loss.sampling = n, sampling
        chunk = training.make_chunk(self.problem, estimator)
        first = (self.state, np.zeros(1, np.int32), self.host_batch)
        lowered = jax.jit(chunk, donate_argnums=0).lower(*first)
        if estimator is None:
            self.flops = float((lowered.cost_analysis() or {}).get("flops", 0.0))
        compiled = lowered.compile()

        def call() -> Any:
            step = np.full(1, next(self.counter), np.int32)
            self.state, metrics = compiled(self.state, step, self.host_batch)
            return metrics

        return call

    def losses_alone(self) -> dict[str, Callable[[], Any]]:
        """Each loss and its gradient with respect to random logits."""
        shape = (self.config.batch_size, self.config.data.num_classes)
        logits = jax.random.normal(jax.random.key(0), shape)
        labels = jax.random.randint(jax.random.key(1), shape[:1], 0, shape[1])

        def alone(estimator: Any, n: int, sampling: str) -> Callable[[], Any]:
            def loss(x: jax.Array, key: jax.Array) -> jax.Array:
                return jnp.mean(losses.terms(x, labels, key, n, estimator, sampling).loss)

            gradient = jax.jit(jax.value_and_grad(loss))
            return lambda: gradient(logits, jax.random.key(next(self.counter)))

        return {name: alone(*loss) for name, loss in self.losses.items()}

    def model(self) -> Callable[[], Any]:
        """Forward and backward with a fixed gradient of the logits."""
        images, _ = self._images()
        # A copy: the steps donate theirs.
        params, stats = jax.tree.map(jnp.copy, (self.state["params"], self.state["batch_stats"]))
        network = self.problem.network

        @jax.jit
        def gradients(params: Any, stats: Any, images: jax.Array) -> Any:
            logits, pull_back, stats = jax.vjp(lambda p: network.train(p, stats, images), params, has_aux=True)
            return pull_back(jnp.full_like(logits, 1e-3)), stats

        return lambda: gradients(params, stats, images)

    def inputs(self) -> dict[str, Callable[[], Any]]:
        """Making a batch of images on the device; nothing where they are constant."""
        if not self.drawn:
            return {}
        draw = jax.jit(lambda step: self.source.training_batch(step, None))
        return {"input": lambda: draw(jnp.int32(next(self.counter)))}

    def _images(self) -> Any:
        return jax.jit(lambda: self.source.training_batch(jnp.int32(0), None))() if self.drawn else self.source.batch


def in_turn(programs: dict[str, Callable[[], Any]], rounds: int, calls: int) -> dict[str, float]:
    """Median seconds of a call of each program, over rounds in which each is called `calls` times."""
    for program in programs.values():
        jax.block_until_ready(program())
        jax.block_until_ready(program())
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            start = time.perf_counter()
            for _ in range(calls):
                result = program()
            jax.block_until_ready(result)
            seconds[name].append((time.perf_counter() - start) / calls)
    return {name: statistics.median(times) for name, times in seconds.items()}


def files_alone(config: Any, batches: int) -> float:
    """Seconds a batch of reading, decoding and cropping, without a device."""
    reading: Any = make_images(config).host_batches
    with contextlib.closing(reading(0)) as iterator:
        next(iterator)
        start = time.perf_counter()
        for _ in range(batches):
            next(iterator)
        return (time.perf_counter() - start) / batches


def main(arguments: list[str] | None = None) -> None:
    """Parses the flags, measures, and prints."""
    on_cpu = jax.default_backend() == "cpu"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default=f"configs/imagenet.py:{'tiny' if on_cpu else 'paper'}")
    parser.add_argument("--batch", type=int, default=0, help="images a step; the config's by default")
    parser.add_argument("--rollouts", default="16,128,1024,2048")
    parser.add_argument("--samplings", default="counts,marginal,expected")
    parser.add_argument("--advantage", default="maxrl")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=3 if on_cpu else 10, help="steps of each program a round")
    parser.add_argument("--data_dir", default="", help="prepared ImageNet: its reading is timed on its own")
    options = parser.parse_args(arguments)
    config = load(options.config)
    with config.unlocked():
        config.batch_size = options.batch or config.batch_size
        config.data.dir = options.data_dir
    rollouts = [int(n) for n in options.rollouts.split(",")]
    programs = Programs(config, rollouts, options.samplings.split(","), options.advantage)
    steps, others = programs.steps(), {"model": programs.model(), **programs.inputs()}
    seconds = in_turn({**steps, **others}, options.rounds, options.calls)
    alone = in_turn(programs.losses_alone(), options.rounds, options.calls)
    result: dict[str, Any] = {"steps": {}}
    for name in steps:
        result["steps"][name] = {
            "seconds_step": seconds[name],
            "images_per_second": config.batch_size / seconds[name],
            "seconds_loss": alone[name],
            "loss_share": alone[name] / seconds[name],
            "over_cross_entropy": seconds[name] / seconds["cross_entropy"] - 1,
        }
    for name in others:
        result[name] = {"seconds": seconds[name], "images_per_second": config.batch_size / seconds[name]}
    if options.data_dir:
        spent = files_alone(config, options.rounds * options.calls)
        result["input"] = {"seconds": spent, "images_per_second": config.batch_size / spent}
    rate = device_rates(programs.problem.network.dtype)["flops_per_second"]
    floor = programs.flops / rate / jax.device_count()
    result["roofline"] = {"flops": programs.flops, "device_flops_per_second": rate, "floor_seconds": floor}
    result["roofline"]["share"] = floor / seconds["cross_entropy"]
    result["settings"] = vars(options) | {"batch": config.batch_size, "image_size": config.data.image_size}
    result["settings"]["model"] = config.model.to_dict()
    result["machine"] = machine()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
