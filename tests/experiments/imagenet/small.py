"""The image driver at its smallest: digits of 16 x 16 pixels, 3 steps of 8, a few hundred parameters."""

from pathlib import Path

import numpy as np

from maxrl_jax.runs.config.load import load
from maxrl_jax.runs.folder.metric_writer import read_metrics
from maxrl_jax.vision.images import BrokenImage

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
    """Records with a metric of the prefixes, without what a clock decides."""
    records = [{k: v for k, v in line.items() if not k.startswith("perf/")} for line in read_metrics(folder)]
    return [r for r in records if any(k.startswith(prefixes) for k in r)]


class FakeFiles:
    """Stands for vision.imagenet2012.source: the same batches of noise for a step, wherever reading starts."""

    NUM_CLASSES, num_validation, size = 1000, 20, 16

    def __init__(self, broken=False):
        self.started, self.closed, self.broken = [], 0, broken

    def check(self, folder):
        if not folder:
            raise ValueError("no such folder")

    def num_examples(self, folder):
        return {"validation": self.num_validation}

    def normalise(self, image):
        return image / 127.5 - 1.0

    def train_batches(self, folder, batch_size, *, seed, start_step, shard_count, **_):
        self.started.append(start_step)
        return _Batches(self, (self._batch(batch_size // shard_count, (seed, s)) for s in range(start_step, 100)))

    def validation_batches(self, folder, batch_size, *, shard_count, **_):
        def batches():
            for first in range(0, self.num_validation, batch_size):
                mask = np.arange(first, first + batch_size) < self.num_validation
                yield {**self._batch(batch_size // shard_count, (7, first)), "mask": mask}

        return _Batches(self, batches())

    def _batch(self, count, seed):
        if self.broken and seed[1] == 1:
            raise BrokenImage("record 5 of file.array_record: n01440764_1.JPEG is no JPEG")
        rng = np.random.default_rng(seed)
        images = rng.integers(0, 256, (count, self.size, self.size, 3), np.uint8)
        return {"image": images, "label": rng.integers(0, 1000, count).astype(np.int32)}


class _Batches:
    def __init__(self, files, batches):
        self.files, self.batches = files, batches

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.batches)

    def close(self):
        self.files.closed += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
