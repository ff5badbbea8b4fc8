"""The image driver at its smallest: digits of 16 x 16 pixels, 3 steps of 8, a few hundred parameters."""

from pathlib import Path

from maxrl_jax.runs.config.load import load
from maxrl_jax.runs.folder.metric_writer import read_metrics

FROM_FILES = {"data__name": "imagenet2012", "data__num_classes": 1000, "data__num_workers": 0}
ROOT = Path(__file__).resolve().parents[3]

SMALL = {
    "data.name": "digits",
    "data.num_classes": 10,
    "data.image_size": 16,  # of 8 x 8 the shortcuts see one corner alone, which is empty
    "model.width": 4,
    "batch_size": 8,
    "steps": 3,
    "optimizer.schedule": "constant",
    "optimizer.warmup_steps": 0,
    "optimizer.learning_rate": 0.1,
    "loss.num_rollouts": 8,
    "eval.every_steps": 0,
    "eval.num_images": 20,
    "eval.batch_size": 8,
    "eval.gradient_norm_step": 2,
    "eval.gradient_norm_images": 5,
    "eval.gradient_norm_chunk": 2,
    "checkpoint.every_steps": 1,
    "wandb.mode": "disabled",
}


def small(**overrides):
    """The config; ``small(a__b=1)`` sets a.b."""
    given = {key.replace("__", "."): value for key, value in overrides.items()}
    return load(f"{ROOT}/configs/imagenet.py:tiny", {**SMALL, **given})


def lines(folder, *prefixes):
    """Records with a metric of the prefixes, without the perf/ metrics."""
    records = [{k: v for k, v in line.items() if not k.startswith("perf/")} for line in read_metrics(folder)]
    return [r for r in records if any(k.startswith(prefixes) for k in r)]
