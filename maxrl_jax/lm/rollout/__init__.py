"""Rollouts of a language model: prompts run once, answers decoded with a cache."""

from maxrl_jax.lm.rollout.chunks import rollout
from maxrl_jax.lm.rollout.engine import Rollouts, Settings, decode
from maxrl_jax.lm.rollout.segments import Finished, Segments

__all__ = ["Finished", "Rollouts", "Segments", "Settings", "decode", "rollout"]
