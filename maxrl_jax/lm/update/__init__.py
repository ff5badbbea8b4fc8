"""Policy-gradient updates on rollouts that share prompts."""

from maxrl_jax.lm.update.answers import score
from maxrl_jax.lm.update.batch import Batch, LossSettings, Plan
from maxrl_jax.lm.update.update import Update, loss_and_gradients

__all__ = ["Batch", "LossSettings", "Plan", "Update", "loss_and_gradients", "score"]
