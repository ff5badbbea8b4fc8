"""The maze driver's config at its smallest."""

from pathlib import Path

from maxrl_jax.runs.config.load import load

ROOT = Path(__file__).resolve().parents[3]

SMALL = {
    "maze.size": 7,
    "maze.num_held_out": 64,
    "model.hidden_size": 16,
    "model.intermediate_size": 32,
    "model.num_layers": 1,
    "maze.answer_length": 20,
    "sft.steps": 2,
    "sft.batch_size": 8,
    "sft.steps_per_call": 2,
    "rl.steps": 2,
    "rl.num_prompts": 8,
    "rl.num_rollouts": 4,
    "rl.steps_per_call": 1,
    "eval.num_mazes": 5,
    "eval.num_samples": 4,
    "eval.every_steps": 0,
    "checkpoint.every_steps": 1,
    "wandb.mode": "disabled",
}


def small(**overrides):
    return load(str(ROOT / "configs/maze.py") + ":tiny", {**SMALL, **overrides})
