"""Mazes: made on the device, written as tokens, verified with reasons, and split by content.

    mazes = maze.generate(key, num_mazes=32, size=17)     # .walls .solution .num_moves
    prompts = maze.encode_prompt(mazes.walls)             # [B, P]
    rewards = maze.verify(mazes.walls, answers)           # [B, N] in {0, 1}

``maxrl_jax.tasks.maze.pictures`` draws them; it is imported by itself, for it needs matplotlib.
"""

from maxrl_jax.tasks.maze.generator import Mazes, generate, generate_from_keys, maze_keys
from maxrl_jax.tasks.maze.reward import rewards
from maxrl_jax.tasks.maze.split import (
    HeldOut,
    cap_held_out,
    count_mazes,
    from_mazes,
    hash_walls,
    hold_out,
    is_held_out,
    max_held_out,
    sample_training_from_keys,
)
from maxrl_jax.tasks.maze.tokens import (
    NAMES,
    VOCABULARY_SIZE,
    answer_length,
    arrows,
    check_answer_length,
    check_size,
    decode,
    draw,
    encode_prompt,
    longest_solution,
    positions,
    prompt_length,
)
from maxrl_jax.tasks.maze.verifier import REASONS, Verdict, judge, overrun, shortest, verify

__all__ = [
    "NAMES",
    "REASONS",
    "VOCABULARY_SIZE",
    "HeldOut",
    "Mazes",
    "Verdict",
    "answer_length",
    "arrows",
    "cap_held_out",
    "check_answer_length",
    "check_size",
    "count_mazes",
    "decode",
    "draw",
    "encode_prompt",
    "from_mazes",
    "generate",
    "generate_from_keys",
    "hash_walls",
    "hold_out",
    "is_held_out",
    "judge",
    "longest_solution",
    "max_held_out",
    "maze_keys",
    "overrun",
    "positions",
    "prompt_length",
    "rewards",
    "sample_training_from_keys",
    "shortest",
    "verify",
]
