"""Time and memory of one maze step: mazes, rollouts, verdicts, advantages, update with AdamW and clipping.

    python -m benchmarks.maze_step --size 17 --prompts 1 --rollouts 128 --length 64 --steps 5

Prints one JSON object (`benchmarks.rl_step`). The model is the 4-layer, 256-wide one, randomly initialised; float32 on
a CPU, bfloat16 compute elsewhere. `--length L` turns stopping off: all L tokens are sampled and trained on, rewards are
drawn Bernoulli(1/4) and no prompt is left out, so that the work is fixed and compares with another program's. Without
it, answers stop as in training and are verified (an untrained model solves nothing: everything is skipped).

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
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import rl_step
from maxrl_jax.lm import decoder
from maxrl_jax.lm.rollout import Settings, rollout
from maxrl_jax.lm.update import Batch, Plan
from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import tokens as maze_tokens


class Step(rl_step.Step):
    """New mazes every step."""

    def __init__(self, arguments: argparse.Namespace):
        self.size, self.prompts, self.rollouts = arguments.size, arguments.prompts, arguments.rollouts
        self.forced = arguments.length is not None
        self.length = arguments.length or maze.answer_length(arguments.size)
        self.prompt_length = maze_tokens.prompt_length(self.size)
        self.settings = Settings(
            max_new_tokens=self.length,
            stop_tokens=() if self.forced else (maze_tokens.DONE, maze_tokens.EOS),
        )
        plan = Plan.make(
            self.prompts,
            self.rollouts,
            self.length,
            micro_batch_tokens=arguments.micro_batch_tokens,
            num_lengths=1 if self.forced else 3,
            skip_zeros=not self.forced,
        )
        config = decoder.Config(max_positions=max(512, self.prompt_length + self.length))
        super().__init__(config, plan, arguments.dtype, learning_rate=1e-4)

    def sample(self, parameters: Any, key: jax.Array) -> tuple[Batch, jax.Array]:
        """Mazes, rollouts, rewards and advantages."""
        maze_key, rollout_key, reward_key = jax.random.split(key, 3)
        mazes = maze.generate(maze_key, self.prompts, self.size)
        prompts = maze.encode_prompt(mazes.walls)
        answers = rollout(self.policy(parameters), prompts, rollout_key, self.rollouts, self.settings)
        rewards = maze.verify(mazes.walls, answers.tokens)
        if self.forced:
            rewards = jax.random.bernoulli(reward_key, rl_step.SUCCESS_RATE, rewards.shape).astype(jnp.float32)
        return Batch(prompts, answers.tokens, answers.mask, self.advantage(rewards)), rewards.mean()


def needed(step: Step) -> rl_step.Counts:
    """FLOPs and bytes that the two halves need at least, every answer being `length` long."""
    config, itemsize = step.config, step.dtype.itemsize
    layers, hidden = config.num_layers, config.hidden_size
    query, key_value = config.num_heads * config.head_width, config.num_kv_heads * config.head_width
    block = rl_step.block_weights(config)
    weights = layers * block + config.vocab_size * hidden
    S, T = step.prompt_length, step.length
    answers = step.prompts * step.rollouts * (T - 1)  # tokens that go through the model
    # The last block needs keys and values of the whole prompt, the rest of it for one position.
    prompt_flops = 2 * S * ((layers - 1) * (block + query * S) + 2 * hidden * key_value)
    answer_flops = 2 * weights + 4 * layers * query * (S + T / 2)
    forward = step.prompts * prompt_flops + answers * answer_flops
    cache = 2 * layers * key_value * itemsize  # bytes a token
    activations = layers * (
        4 * hidden + 2 * query + 2 * key_value + 3 * config.intermediate_size + config.num_heads * (S + T)
    )
    return {
        "rollout": {
            "flops": forward,
            "bytes": (T - 1) * (weights * itemsize + step.prompts * S * cache) + answers * cache * T / 2,
        },
        "update": {
            "flops": 3 * forward,
            # Activations written and read; weights read twice, gradients read and written.
            "bytes": 2 * activations * itemsize * (answers + step.prompts * S)
            + rl_step.micro_batches(step.plan, step.prompts, step.rollouts) * weights * (2 * itemsize + 8),
        },
    }


def main() -> None:
    """Parses the flags, measures, and prints."""
    flags = rl_step.parser(__doc__, steps=5)
    flags.add_argument("--size", type=int, default=17, help="squares a side, odd")
    flags.add_argument("--prompts", type=int, default=4)
    flags.add_argument("--rollouts", type=int, default=8, help="of each prompt")
    flags.add_argument("--length", type=int, default=None, help="force answers of this many tokens")
    arguments = flags.parse_args()
    step = Step(arguments)
    rl_step.report(step, arguments, needed(step))


if __name__ == "__main__":
    main()
