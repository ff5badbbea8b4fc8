"""Time and memory of one RL step of a language model: rollouts, rewards, advantages, update with AdamW and clipping.

    python -m benchmarks.lm_step --model smollm2-360m --layers 4 --prompts 1 --rollouts 16 --prompt-length 128

Prints one JSON object with the keys of `benchmarks.maze_step`, and `parameters`. Weights are random, in the shape of
a known model cut to `--layers`; prompts are random; all `--length` tokens are drawn and trained on, rewards are drawn
Bernoulli(1/4), no prompt is left out. float32 on a CPU, bfloat16 compute elsewhere.

The counts: a token's forward pass is 2 FLOP for each weight of a block and of the output matrix, and 4 for each
key's component that its queries read; the update is three times that, and a fourth time the output matrix where a
large vocabulary's logits are made again for the gradient. Decoding reads every weight once a token and the answers'
keys and values; the update reads weights and reads and writes their gradients for every micro-batch.
"""

import argparse
import json
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax
from flax import nnx

from benchmarks.maze_step import SUCCESS_RATE, device_rates, measure
from benchmarks.measure import machine
from maxrl_jax import advantages
from maxrl_jax.lm import decoder, vocabulary
from maxrl_jax.lm.rollout import Settings, rollout
from maxrl_jax.lm.update import Batch, Objective, Plan, loss_and_gradients

_LLAMA = {"qkv_bias": False, "rope_theta": 10_000.0, "rms_norm_eps": 1e-5}
_QWEN3 = {"qkv_bias": False, "qk_norm": True, "rope_theta": 1e6, "rms_norm_eps": 1e-6}
MODELS = {  # (vocab_size, hidden_size, intermediate_size, num_heads, num_kv_heads, head_dim), mechanisms
    "smollm2-360m": ((49_152, 960, 2560, 15, 5, 64), _LLAMA),
    "qwen2.5-0.5b": ((151_936, 896, 4864, 14, 2, 64), {"rope_theta": 1e6, "rms_norm_eps": 1e-6}),
    "qwen3-1.7b": ((151_936, 2048, 6144, 16, 8, 128), _QWEN3),
    "tiny": ((512, 64, 128, 4, 2, 16), _LLAMA),
}
SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_heads", "num_kv_heads", "head_dim")


class Step:
    """The parts of a step for one shape of model and batch, as pure functions of parameters and keys."""

    def __init__(self, arguments: argparse.Namespace):
        self.prompts, self.rollouts, self.length = arguments.prompts, arguments.rollouts, arguments.length
        self.prompt_length, self.dtype = arguments.prompt_length, jnp.dtype(arguments.dtype)
        sizes, mechanisms = MODELS[arguments.model]
        self.config = decoder.Config(
            **dict(zip(SIZES, sizes, strict=True)), **mechanisms, num_layers=arguments.layers, max_positions=8192
        )
        self.settings = Settings(max_new_tokens=self.length, stop_tokens=())
        self.plan = Plan.make(
            self.prompts,
            self.rollouts,
            self.length,
            micro_batch_tokens=arguments.micro_batch_tokens,
            num_lengths=1,
            skip_zeros=False,
        )
        self.objective = Objective(aggregation="token_mean")
        self.advantage = advantages.get("maxrl")
        self.optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-5, weight_decay=0.01))

        def build() -> decoder.Decoder:
            return decoder.Decoder(self.config, rngs=nnx.Rngs(0))

        self.graphdef = nnx.graphdef(nnx.eval_shape(build))
        self.parameters = jax.jit(lambda: nnx.state(build()))()
        self.optimizer_state = jax.jit(self.optimizer.init)(self.parameters)
        self.num_parameters = sum(leaf.size for leaf in jax.tree.leaves(self.parameters))

    def sample(self, parameters: Any, key: jax.Array) -> tuple[Batch, jax.Array]:
        """Prompts, rollouts, rewards and advantages."""
        prompt_key, rollout_key, reward_key = jax.random.split(key, 3)
        prompts = jax.random.randint(prompt_key, (self.prompts, self.prompt_length), 0, self.config.vocab_size)
        model = nnx.merge(self.graphdef, decoder.cast(parameters, self.dtype))
        answers = rollout(model, prompts, rollout_key, self.rollouts, self.settings)
        rewards = jax.random.bernoulli(reward_key, SUCCESS_RATE, answers.lengths.shape).astype(jnp.float32)
        rewards = rewards.at[:, 0].set(1)  # so that every prompt has a gradient
        return Batch(prompts, answers.tokens, answers.mask, self.advantage(rewards)), rewards.mean()

    def update(self, parameters: Any, optimizer_state: Any, batch: Batch) -> tuple[Any, Any, dict[str, jax.Array]]:
        """One AdamW step on a batch."""
        model = nnx.merge(self.graphdef, parameters)
        update = loss_and_gradients(model, batch, self.objective, self.plan, compute_dtype=self.dtype)
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


def needed(step: Step) -> dict[str, dict[str, float]]:
    """FLOPs and bytes that the two halves need at least."""
    config, itemsize, S, T = step.config, step.dtype.itemsize, step.prompt_length, step.length
    query, key_value = config.num_heads * config.head_width, config.num_kv_heads * config.head_width
    block = 2 * config.hidden_size * (query + key_value) + 3 * config.hidden_size * config.intermediate_size
    output = config.vocab_size * config.hidden_size
    weights = config.num_layers * block + output
    tokens = step.prompts * step.rollouts * T
    prompt = step.prompts * S * config.num_layers * 2 * (block + query * S)
    answers = tokens * (2 * weights + 4 * config.num_layers * query * (S + T / 2))
    again = 2 * tokens * output if vocabulary.is_large(config.vocab_size) else 0
    cache = 2 * config.num_layers * key_value * itemsize  # bytes a token
    micro_batches = -(-step.prompts // step.plan.prompts) * -(-step.rollouts // step.plan.rollouts[-1])
    return {
        "rollout": {
            "flops": prompt + answers,
            "bytes": T * (weights * itemsize + step.prompts * S * cache) + tokens * cache * T / 2,
        },
        "update": {
            "flops": 3 * (prompt + answers) + again,
            "bytes": micro_batches * weights * (2 * itemsize + 8) + step.num_parameters * 7 * 4,  # and AdamW's arrays
        },
    }


def main() -> None:
    """Parses the flags, measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    on_cpu = jax.default_backend() == "cpu"
    parser.add_argument("--model", default="smollm2-360m", choices=MODELS)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--prompts", type=int, default=1)
    parser.add_argument("--rollouts", type=int, default=16, help="of each prompt")
    parser.add_argument("--prompt-length", type=int, default=128)
    parser.add_argument("--length", type=int, default=32, help="tokens of every answer")
    parser.add_argument("--steps", type=int, default=3, help="timed steps")
    parser.add_argument("--micro-batch-tokens", type=int, default=1024 if on_cpu else 65_536)
    parser.add_argument("--dtype", default="float32" if on_cpu else "bfloat16", choices=("float32", "bfloat16"))
    arguments = parser.parse_args()
    step = Step(arguments)
    result = measure(step, arguments.steps) | {"parameters": step.num_parameters}
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
