"""One RL step timed, whole and in its halves: what the benchmarks of steps share.

`seconds_step` is the one jitted, donated program of a training step; `seconds_rollout` and `seconds_update` are
its halves compiled apart and timed after it. All are medians with the result ready; `peak_rss_mb` is the step's.
`roofline` has the FLOPs and bytes that each half needs at least, and which share of this device's rates it reached.
"""

import argparse
import functools
import json
import resource
import statistics
import time
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax
from flax import nnx

from benchmarks.measure import machine, median_seconds
from maxrl_jax import advantages
from maxrl_jax.lm import decoder
from maxrl_jax.lm.update import Batch, LossSettings, Plan, loss_and_gradients

SUCCESS_RATE = 0.25  # of drawn rewards
Counts = dict[str, dict[str, float]]
"""Of `rollout` and `update`: flops and bytes."""


class Step:
    """A step for one shape of model and batch, as pure functions of parameters and keys; a subclass gives `sample`."""

    def __init__(self, config: decoder.Config, plan: Plan, dtype: jax.typing.DTypeLike, learning_rate: float):
        """Makes the parameters, random, and the optimizer's state, each in one compiled call."""
        self.config, self.plan, self.dtype = config, plan, jnp.dtype(dtype)
        self.loss = LossSettings(aggregation="token_mean")
        self.advantage = advantages.get("maxrl")
        self.optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(learning_rate, weight_decay=0.01))

        def build() -> decoder.Decoder:
            return decoder.Decoder(config, rngs=nnx.Rngs(0))

        self.graphdef = nnx.graphdef(nnx.eval_shape(build))
        self.parameters = jax.jit(lambda: nnx.state(build()))()
        self.optimizer_state = jax.jit(self.optimizer.init)(self.parameters)
        self.num_parameters = sum(leaf.size for leaf in jax.tree.leaves(self.parameters))

    def sample(self, parameters: Any, key: jax.Array) -> tuple[Batch, jax.Array]:
        """Prompts, rollouts and advantages; and the mean reward."""
        raise NotImplementedError

    def policy(self, parameters: Any) -> decoder.Decoder:
        """The model in its compute dtype, which samples."""
        return nnx.merge(self.graphdef, parameters).computing(self.dtype)

    def update(self, parameters: Any, optimizer_state: Any, batch: Batch) -> tuple[Any, Any, dict[str, jax.Array]]:
        """One AdamW step on a batch."""
        model = nnx.merge(self.graphdef, parameters)
        update = loss_and_gradients(model, batch, self.loss, self.plan, compute_dtype=self.dtype)
        changes, optimizer_state = self.optimizer.update(update.gradients, optimizer_state, parameters)
        metrics = {
            "trained_tokens": update.trained_tokens,
            "prompts_skipped": update.prompts_skipped,
            "gradient_norm": optax.tree.norm(update.gradients),
        }
        return optax.apply_updates(parameters, changes), optimizer_state, metrics

    def whole(self, parameters: Any, optimizer_state: Any, key: jax.Array) -> tuple[Any, Any, dict[str, jax.Array]]:
        """The step as training runs it."""
        batch, reward = self.sample(parameters, key)
        parameters, optimizer_state, metrics = self.update(parameters, optimizer_state, batch)
        return parameters, optimizer_state, metrics | {"reward_mean": reward}


def parser(description: str | None, *, steps: int) -> argparse.ArgumentParser:
    """The flags of every step: how many are timed, the micro-batches and the compute dtype."""
    flags = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    on_cpu = jax.default_backend() == "cpu"
    flags.add_argument("--steps", type=int, default=steps, help="timed steps")
    flags.add_argument("--micro-batch-tokens", type=int, default=1024 if on_cpu else 65_536)
    flags.add_argument("--dtype", default="float32" if on_cpu else "bfloat16", choices=("float32", "bfloat16"))
    return flags


def block_weights(config: decoder.Config) -> int:
    """Weights in the matrices of a block."""
    query, key_value = config.num_heads * config.head_width, config.num_kv_heads * config.head_width
    return 2 * config.hidden_size * (query + key_value) + 3 * config.hidden_size * config.intermediate_size


def micro_batches(plan: Plan, prompts: int, rollouts: int) -> int:
    """Of an update whose answers all have the longest length."""
    return -(-prompts // plan.prompts) * -(-rollouts // plan.rollouts[-1])


def measure(step: Step, num_steps: int) -> dict[str, Any]:
    """Medians of the step and of its halves, and the metrics of the last step."""
    keys = [jax.random.fold_in(jax.random.key(1), number) for number in range(num_steps + 1)]
    seconds: dict[str, list[float]] = {"step": [], "rollout": [], "update": []}

    def timed(name: str, function: Any, *inputs: Any) -> Any:
        start = time.perf_counter()
        result = jax.block_until_ready(function(*inputs))
        seconds[name].append(time.perf_counter() - start)
        return result

    # The first call of each compiles and warms up.
    whole = jax.jit(step.whole, donate_argnums=(0, 1))
    state, metrics = (step.parameters, step.optimizer_state), {}
    for key in keys:
        *state, metrics = timed("step", whole, *state, key)
    peak_rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sample, update = jax.jit(step.sample), jax.jit(step.update)
    for key in keys:
        batch, _ = timed("rollout", sample, state[0], key)
        timed("update", update, *state, batch)

    medians = {f"seconds_{name}": statistics.median(times[1:]) for name, times in seconds.items()}
    return medians | {
        "seconds_step_min": min(seconds["step"][1:]),
        "seconds_first_step": seconds["step"][0],
        "response_tokens_per_second": int(metrics["trained_tokens"]) / medians["seconds_step"],
        "peak_rss_mb": peak_rss_mb,
        "trained_tokens": int(metrics["trained_tokens"]),
        "prompts_skipped": int(metrics["prompts_skipped"]),
        "gradient_norm": float(metrics["gradient_norm"]),
        "reward_mean": float(metrics["reward_mean"]),
        "parameters": step.num_parameters,
    }


def device_rates(dtype: jnp.dtype) -> dict[str, float]:
    """FLOP/s of a large matrix product and bytes/s of a large copy, as this process gets them now."""
    cpu = jax.default_backend() == "cpu"
    side, length = (2048, 2**25) if cpu else (8192, 2**29)
    matrix, vector = jnp.ones((side, side), dtype), jnp.ones((length,), jnp.float32)
    product = median_seconds(functools.partial(jax.jit(jnp.matmul), matrix, matrix))
    # In place and several times over: a fresh result would be timed with the page faults of its memory.
    passes = jax.jit(lambda a: jax.lax.fori_loop(0, 8, lambda _, a: a + 1, a))
    copies = median_seconds(functools.partial(passes, vector))
    return {"flops_per_second": 2 * side**3 / product, "bytes_per_second": 8 * 8 * length / copies}


def report(step: Step, arguments: argparse.Namespace, needed: Counts) -> None:
    """Measures, and prints one JSON object: times, metrics, roofline, settings, machine."""
    result = measure(step, arguments.steps)
    rates = device_rates(step.dtype)
    for name, count in needed.items():
        count["floor_seconds"] = max(
            count["flops"] / rates["flops_per_second"], count["bytes"] / rates["bytes_per_second"]
        )
        count["roofline_share"] = count["floor_seconds"] / result[f"seconds_{name}"]
    floor = sum(count["floor_seconds"] for count in needed.values())
    result["roofline"] = {"device": rates, **needed, "step_share": floor / result["seconds_step"]}
    result["settings"] = vars(arguments) | {"plan": repr(step.plan)}
    result["machine"] = machine() | {"flax": flax.__version__, "optax": optax.__version__}
    print(json.dumps(result))
