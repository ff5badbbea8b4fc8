"""Time and memory of one RL step of a language model: rollouts, rewards, advantages, update with AdamW and clipping.

    python -m benchmarks.lm_step --model smollm2-360m --layers 4 --prompts 1 --rollouts 16 --prompt-length 128

Prints one JSON object (`benchmarks.rl_step`). Weights are random, in the shape of a known model cut to `--layers`;
prompts are random; all `--length` tokens are drawn and trained on, rewards are drawn Bernoulli(1/4), no prompt is left
out. float32 on a CPU, bfloat16 compute elsewhere.

The counts: a token's forward pass is 2 FLOP for each weight of a block and of the output matrix, and 4 for each
key's component that its queries read; the update is three times that, and a fourth time the output matrix where a
large vocabulary's logits are too many to keep and are made again for the gradient. Decoding reads every weight once a
token and the answers' keys and values; the update reads weights and reads and writes their gradients for every
micro-batch.
"""

import argparse
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import rl_step
from maxrl_jax.lm import decoder, vocabulary
from maxrl_jax.lm.rollout import Settings, rollout
from maxrl_jax.lm.update import Batch, Plan

_LLAMA = {"qkv_bias": False, "rope_theta": 10_000.0, "rms_norm_eps": 1e-5}
_QWEN3 = {"qkv_bias": False, "qk_norm": True, "rope_theta": 1e6, "rms_norm_eps": 1e-6}
SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_layers", "num_heads", "num_kv_heads", "head_dim")
MODELS = {  # sizes, mechanisms
    "smollm2-135m": ((49_152, 576, 1536, 30, 9, 3, 64), _LLAMA),
    "smollm2-360m": ((49_152, 960, 2560, 32, 15, 5, 64), _LLAMA),
    "qwen2.5-0.5b": ((151_936, 896, 4864, 24, 14, 2, 64), {"rope_theta": 1e6, "rms_norm_eps": 1e-6}),
    "qwen3-1.7b": ((151_936, 2048, 6144, 28, 16, 8, 128), _QWEN3),
    "qwen3-4b": ((151_936, 2560, 9728, 36, 32, 8, 128), _QWEN3),
    "tiny": ((512, 64, 128, 6, 4, 2, 16), _LLAMA),
}


def model_config(name: str, layers: int) -> decoder.Config:
    """The shape of a model of `MODELS`, cut to so many blocks; 0: all."""
    sizes, mechanisms = MODELS[name]
    config = decoder.Config(**dict(zip(SIZES, sizes, strict=True)), **mechanisms, max_positions=16_384)
    return dataclasses.replace(config, num_layers=layers or config.num_layers)


class Step(rl_step.Step):
    """New prompts every step, of random tokens."""

    def __init__(self, arguments: argparse.Namespace):
        self.prompts, self.rollouts, self.length = arguments.prompts, arguments.rollouts, arguments.length
        self.prompt_length = arguments.prompt_length
        self.settings = Settings(max_new_tokens=self.length, stop_tokens=())
        plan = Plan.make(
            self.prompts,
            self.rollouts,
            self.length,
            micro_batch_tokens=arguments.micro_batch_tokens,
            num_lengths=1,
            skip_zeros=False,
        )
        config = model_config(arguments.model, arguments.layers)
        super().__init__(config, plan, arguments.dtype, learning_rate=1e-5)

    def sample(self, parameters: Any, key: jax.Array) -> tuple[Batch, jax.Array]:
        """Prompts, rollouts, rewards and advantages."""
        prompt_key, rollout_key, reward_key = jax.random.split(key, 3)
        prompts = jax.random.randint(prompt_key, (self.prompts, self.prompt_length), 0, self.config.vocab_size)
        answers = rollout(self.policy(parameters), prompts, rollout_key, self.rollouts, self.settings)
        rewards = jax.random.bernoulli(reward_key, rl_step.SUCCESS_RATE, answers.lengths.shape).astype(jnp.float32)
        rewards = rewards.at[:, 0].set(1)  # so that every prompt has a gradient
        return Batch(prompts, answers.tokens, answers.mask, self.advantage(rewards)), rewards.mean()


def needed(step: Step) -> rl_step.Counts:
    """FLOPs and bytes that the two halves need at least."""
    config, itemsize, S, T = step.config, step.dtype.itemsize, step.prompt_length, step.length
    query, key_value = config.num_heads * config.head_width, config.num_kv_heads * config.head_width
    block = rl_step.block_weights(config)
    output = config.vocab_size * config.hidden_size
    weights = config.num_layers * block + output
    tokens = step.prompts * step.rollouts * T
    prompt = step.prompts * S * config.num_layers * 2 * (block + query * S)
    answers = tokens * (2 * weights + 4 * config.num_layers * query * (S + T / 2))
    rows = step.plan.prompts * step.plan.rollouts[-1] * T
    kept = not vocabulary.is_large(config.vocab_size) or rows * config.vocab_size <= vocabulary.CHUNK_ELEMENTS
    again = 0 if kept else 2 * tokens * output
    cache = 2 * config.num_layers * key_value * itemsize  # bytes a token
    gradients = rl_step.micro_batches(step.plan, step.prompts, step.rollouts) * weights * (2 * itemsize + 8)
    return {
        "rollout": {
            "flops": prompt + answers,
            "bytes": T * (weights * itemsize + step.prompts * S * cache) + tokens * cache * T / 2,
        },
        "update": {
            "flops": 3 * (prompt + answers) + again,
            "bytes": gradients + step.num_parameters * 7 * 4,  # and AdamW's arrays
        },
    }


def main() -> None:
    """Parses the flags, measures, and prints."""
    flags = rl_step.parser(__doc__, steps=3)
    flags.add_argument("--model", default="smollm2-360m", choices=MODELS)
    flags.add_argument("--layers", type=int, default=4, help="0: all of the model's")
    flags.add_argument("--prompts", type=int, default=1)
    flags.add_argument("--rollouts", type=int, default=16, help="of each prompt")
    flags.add_argument("--prompt-length", type=int, default=128)
    flags.add_argument("--length", type=int, default=32, help="tokens of every answer")
    arguments = flags.parse_args()
    step = Step(arguments)
    rl_step.report(step, arguments, needed(step))


if __name__ == "__main__":
    main()
