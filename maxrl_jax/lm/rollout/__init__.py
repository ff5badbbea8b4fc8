"""Rollouts of a language model: prompts run once, answers decoded with a cache."""

from maxrl_jax.lm.rollout.chunks import map_rollouts, rollout
from maxrl_jax.lm.rollout.engine import Rollouts, Settings, decode
from maxrl_jax.lm.rollout.segments import Segments

__all__ = ["Rollouts", "Segments", "Settings", "decode", "map_rollouts", "rollout"]
