"""Procedural problems of the reasoning-gym package, as text tasks with its own verifiers.

    specs = reasoning_gym.read_tasks("products(max_digits=1), gcd(max_value=20)")
    training, held_out = reasoning_gym.make_sets(specs, num_problems=1000, num_held_out=64, seed=0, extract="auto")
    reasoning_gym.Grade()("2 * 4 = 8", training[0].gold)        # (index into REASONS, reward)

Needs the extra ``reasoning_gym``, imported where it is used.
"""

from maxrl_jax.tasks.reasoning_gym.extraction import RULES, extract
from maxrl_jax.tasks.reasoning_gym.grading import Gold, Grade
from maxrl_jax.tasks.reasoning_gym.problems import constant_pass_rate, make_sets
from maxrl_jax.tasks.reasoning_gym.specs import Spec, read_tasks

__all__ = ["RULES", "Gold", "Grade", "Spec", "constant_pass_rate", "extract", "make_sets", "read_tasks"]
