"""Mazes: made on the device, written as tokens, verified with reasons, and split by content.

    mazes = maze.generate(key, num_mazes=32, size=17)     # .walls .solution .num_moves
    prompts = maze.encode_prompt(mazes.walls)             # [B, P]
    rewards = maze.verify(mazes.walls, answers)           # [B, N] in {0, 1}

``maxrl_jax.tasks.maze.pictures`` draws them; it is imported by itself, for it needs matplotlib.
"""

from maxrl_jax.tasks.maze.generator import generate
from maxrl_jax.tasks.maze.reward import rewards
from maxrl_jax.tasks.maze.split import count_mazes, hold_out, is_held_out
from maxrl_jax.tasks.maze.tokens import (
    answer_length,
    arrows,
    check_answer_length,
    check_size,
    decode,
    draw,
    encode_prompt,
    prompt_length,
)
from maxrl_jax.tasks.maze.verifier import REASONS, judge, verify

__all__ = [
    "REASONS",
    "answer_length",
    "arrows",
    "check_answer_length",
    "check_size",
    "count_mazes",
    "decode",
    "draw",
    "encode_prompt",
    "generate",
    "hold_out",
    "is_held_out",
    "judge",
    "prompt_length",
    "rewards",
    "verify",
]
