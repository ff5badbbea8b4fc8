"""Rollouts of a language model: prompts run once, answers decoded with a cache."""

from maxrl_jax.decoding.engine import Rollouts, Settings, decode
from maxrl_jax.decoding.rollout import map_rollouts, rollout

__all__ = ["Rollouts", "Settings", "decode", "map_rollouts", "rollout"]
