"""Time and memory of one maze step: mazes, rollouts, verdicts, advantages, update with AdamW and clipping.

    python -m benchmarks.maze_step --size 17 --prompts 1 --rollouts 128 --length 64 --steps 5

Prints one JSON object. The model is the 4-layer, 256-wide one, randomly initialised; float32 on a CPU, bfloat16
compute elsewhere. `--length L` turns stopping off: all L tokens are sampled and trained on, rewards are drawn
Bernoulli(1/4) and no prompt is left out, so that the work is fixed and compares with another program's. Without
it, answers stop as in training and are verified (an untrained model solves nothing: everything is skipped).

`seconds_step` is the one jitted, donated program of a training step; `seconds_rollout` and `seconds_update` are
its halves compiled apart and timed after it. All are medians with the result ready; `peak_rss_mb` is the step's.

Counting (`flops`, `bytes` and `roofline` in the output), at 17x17, S = 310 prompt tokens, L = 64, 1 x 128:
  a token's forward pass is 2 x 3.94e6 products in the weights and 4 x 4 x 256 x (310 + 32) in attention,
  9.3 MFLOP; 8,064 tokens decoded and three times that for the update (forward, and backward twice) make 300
  GFLOP; the prompt, once in each half, adds 8. Running the prompt with every rollout instead would add 1,000.
  Decode reads the weights (15.8 MB) and the answer caches (17 MB on average) each step: 2.1 GB; the update writes
  and reads about 100 KB of activations a token, 1.7 GB, and for each micro-batch the weights and their gradients.
  Two cores that give 200 GFLOP/s and 25 GB/s are bound by arithmetic in both halves (1.5 s against 0.2 s), so
  what has to be avoided is traffic that is not in the count: copied caches, prompts repeated N times, transposed
  copies of activations. Decoding few rows is the exception: below some 16 rows its weights' traffic is the bound.
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
from maxrl_jax.lm.rollout import Rollouts, Settings, rollout
from maxrl_jax.lm.update import Batch, Objective, Plan, loss_and_gradients
from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import tokens as maze_tokens

SUCCESS_RATE = 0.25  # of the drawn rewards


class Step:
    """The parts of a step for one shape of batch, as pure functions of parameters and keys."""

    def __init__(self, arguments: argparse.Namespace):
        self.size, self.prompts, self.rollouts = arguments.size, arguments.prompts, arguments.rollouts
        self.forced = arguments.length is not None
        self.length = arguments.length or maze.answer_length(arguments.size)
        self.dtype = jnp.dtype(arguments.dtype)
        prompt_length = maze_tokens.prompt_length(self.size)
        self.config = decoder.Config(max_positions=max(512, prompt_length + self.length))
        self.settings = Settings(
            max_new_tokens=self.length,
            stop_tokens=() if self.forced else (maze_tokens.DONE, maze_tokens.EOS),
        )
        self.plan = Plan.make(
            self.prompts,
            self.rollouts,
            self.length,
            micro_batch_tokens=arguments.micro_batch_tokens,
            num_lengths=1 if self.forced else 3,
            skip_zeros=not self.forced,
        )
        self.objective = Objective(aggregation="token_mean")
        self.advantage = advantages.get("maxrl")
        self.optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-4, weight_decay=0.01))
        self.graphdef, self.parameters = nnx.split(decoder.Decoder(self.config, rngs=nnx.Rngs(0)))
        self.optimizer_state = self.optimizer.init(self.parameters)

    def sample(self, parameters: Any, key: jax.Array) -> tuple[Batch, jax.Array]:
        """Mazes, rollouts, rewards and advantages."""
        maze_key, rollout_key, reward_key = jax.random.split(key, 3)
        mazes = maze.generate(maze_key, self.prompts, self.size)
        prompts = maze.encode_prompt(mazes.walls)
        model = nnx.merge(self.graphdef, decoder.cast(parameters, self.dtype))
        answers: Rollouts = rollout(model, prompts, rollout_key, self.rollouts, self.settings)
        rewards = maze.verify(mazes.walls, answers.tokens)
        if self.forced:
            rewards = jax.random.bernoulli(reward_key, SUCCESS_RATE, rewards.shape).astype(jnp.float32)
        return Batch(prompts, answers.tokens, answers.mask, self.advantage(rewards)), rewards.mean()

    def update(self, parameters: Any, optimizer_state: Any, batch: Batch) -> tuple[Any, Any, dict[str, jax.Array]]:
        """One AdamW step on a batch."""
        model = nnx.merge(self.graphdef, parameters)
        update = loss_and_gradients(model, batch, self.objective, self.plan, compute_dtype=self.dtype)
        changes, optimizer_state = self.optimizer.update(update.gradients, optimizer_state, parameters)
        metrics = {
            "trained_tokens": update.trained_tokens,
            "prompts_skipped": update.prompts_skipped,
            "gradient_norm": optax.global_norm(update.gradients),
        }
        return optax.apply_updates(parameters, changes), optimizer_state, metrics

    def whole(self, parameters: Any, optimizer_state: Any, key: jax.Array) -> tuple[Any, Any, dict[str, jax.Array]]:
        """The step as training runs it."""
        batch, reward = self.sample(parameters, key)
        parameters, optimizer_state, metrics = self.update(parameters, optimizer_state, batch)
        return parameters, optimizer_state, metrics | {"reward_mean": reward}


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
    }


def needed(step: Step) -> dict[str, dict[str, float]]:
    """FLOPs and bytes that the two halves need at least, every answer being `length` long."""
    config, itemsize = step.config, step.dtype.itemsize
    layers, hidden, mlp = config.num_layers, config.hidden_size, config.intermediate_size
    query, key_value = config.num_heads * config.head_width, config.num_kv_heads * config.head_width
    block = 2 * hidden * (query + key_value) + 3 * hidden * mlp  # weights of a block
    weights = layers * block + config.vocab_size * hidden
    S, T = maze_tokens.prompt_length(step.size), step.length
    answers = step.prompts * step.rollouts * (T - 1)  # tokens that go through the model
    # The last block needs keys and values of the whole prompt, the rest of it for one position.
    prompt_flops = 2 * S * ((layers - 1) * (block + query * S) + 2 * hidden * key_value)
    answer_flops = 2 * weights + 4 * layers * query * (S + T / 2)
    forward = step.prompts * prompt_flops + answers * answer_flops
    cache = 2 * layers * key_value * itemsize  # bytes a token
    activations = layers * (4 * hidden + 2 * query + 2 * key_value + 3 * mlp + config.num_heads * (S + T))
    micro_batches = -(-step.prompts // step.plan.prompts) * -(-step.rollouts // step.plan.rollouts[-1])
    return {
        "rollout": {
            "flops": forward,
            "bytes": (T - 1) * (weights * itemsize + step.prompts * S * cache) + answers * cache * T / 2,
        },
        "update": {
            "flops": 3 * forward,
            # Activations written and read; weights read twice, gradients read and written.
            "bytes": 2 * activations * itemsize * (answers + step.prompts * S)
            + micro_batches * weights * (2 * itemsize + 8),
        },
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


def main() -> None:
    """Parses the flags, measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    on_cpu = jax.default_backend() == "cpu"
    parser.add_argument("--size", type=int, default=17, help="squares a side, odd")
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--rollouts", type=int, default=8, help="of each prompt")
    parser.add_argument("--length", type=int, default=None, help="force answers of this many tokens")
    parser.add_argument("--steps", type=int, default=5, help="timed steps")
    parser.add_argument("--micro-batch-tokens", type=int, default=1024 if on_cpu else 65536)
    parser.add_argument("--dtype", default="float32" if on_cpu else "bfloat16", choices=("float32", "bfloat16"))
    arguments = parser.parse_args()
    step = Step(arguments)
    result = measure(step, arguments.steps)
    counts, rates = needed(step), device_rates(step.dtype)
    for name, count in counts.items():
        count["floor_seconds"] = max(
            count["flops"] / rates["flops_per_second"], count["bytes"] / rates["bytes_per_second"]
        )
        count["roofline_share"] = count["floor_seconds"] / result[f"seconds_{name}"]
    floor = sum(count["floor_seconds"] for count in counts.values())
    result["roofline"] = {"device": rates, **counts, "step_share": floor / result["seconds_step"]}
    result["settings"] = vars(arguments) | {"plan": repr(step.plan)}
    result["machine"] = machine() | {"flax": flax.__version__, "optax": optax.__version__}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
