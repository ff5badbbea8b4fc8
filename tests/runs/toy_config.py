"""Config of the toy driver."""

from ml_collections import ConfigDict

from configs import common


def get_config(variant="tiny"):
    if variant not in ("tiny", "two_phases"):
        raise ValueError(f"unknown variant {variant!r}, allowed: tiny, two_phases")
    config = common.base()
    config.checkpoint.every_steps = 5
    config.chunk_steps = 2
    config.size = 64  # numbers in the model
    config.batch = 16
    config.sleep = 0.0  # seconds of host time per evaluation, to widen the window for a kill
    config.sft = ConfigDict({"steps": 10 if variant == "two_phases" else 0})
    config.rl = ConfigDict({"steps": 30, "learning_rate": 0.05, "num_rollouts": 8})
    config.rl.advantage = common.advantage()
    config.eval = ConfigDict({"every_steps": 10})
    config.wandb.mode = "disabled"
    return config
