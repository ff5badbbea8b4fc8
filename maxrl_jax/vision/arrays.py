"""Images from arrays in memory: the shortest way to your own data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from maxrl_jax.errors import ConfigError
from maxrl_jax.vision.images import Batch, Images, Request, Source


@dataclasses.dataclass(frozen=True, eq=False)
class Arrays(Images):
    """Images and labels; training batches are drawn with replacement by (seed, step).

    Attributes:
        request: of the run.
        images: [n, H, W, channels] float32.
        labels: [n] int32.
        validation_images: [m, H, W, channels] float32.
        validation_labels: [m] int32.
    """

    request: Request
    images: np.ndarray
    labels: np.ndarray
    validation_images: np.ndarray
    validation_labels: np.ndarray

    @property
    def host_batches(self) -> Callable[[int], Iterator[Batch]]:
        """This host's rows of the batches from a step on."""
        rows = self.request.batch_size // self.request.shard_count
        own = slice(self.request.shard_index * rows, (self.request.shard_index + 1) * rows)

        def batches(step: int) -> Iterator[Any]:
            while True:
                drawn = np.random.default_rng((self.request.seed, step))
                ids = drawn.integers(0, len(self.labels), self.request.batch_size)[own]
                yield self.images[ids], self.labels[ids]
                step += 1

        return batches

    def validation_batches(self, size: int) -> Iterator[Any]:
        """This host's rows of every batch, in order; the last batch repeats the last image, masked."""
        rows = size // self.request.shard_count
        first, count = self.request.shard_index * rows, len(self.validation_labels)
        for start in range(first, count + first, size):
            places = np.arange(start, start + rows)
            ids = np.minimum(places, count - 1)
            yield self.validation_images[ids], self.validation_labels[ids], places < count


def source(
    images: np.ndarray, labels: np.ndarray, validation_images: np.ndarray, validation_labels: np.ndarray
) -> Source:
    """A source of these arrays, for ``--config.data.name=my.module:source``.

    Args:
        images: [n, H, W, channels] numbers, scaled as the network should see them.
        labels: [n] integers from 0; the largest label is the number of classes minus one.
        validation_images: [m, H, W, channels].
        validation_labels: [m].

    Raises:
        ValueError: shapes that do not fit, no image, or a label below 0.
    """
    parts = [np.asarray(part, np.float32) for part in (images, validation_images)]
    known = [np.asarray(part, np.int32) for part in (labels, validation_labels)]
    for part, label in zip(parts, known, strict=True):
        if part.ndim != 4 or not len(part) or label.shape != part.shape[:1] or part.shape[1:] != parts[0].shape[1:]:
            got = f"images {list(part.shape)} with labels {list(label.shape)}"
            raise ValueError(f"arrays: got {got}, allowed: [n, H, W, channels] with [n], n >= 1, one H, W, channels")
        if label.min() < 0:
            raise ValueError(f"arrays: got the label {label.min()}, allowed: labels from 0")
    size = parts[0].shape[1]

    def check(data: Any) -> None:
        if data.image_size != size:
            raise ConfigError("data.image_size", data.image_size, f"{size}, the size of {data.name}")

    return Source(
        lambda request: Arrays(request, parts[0], known[0], parts[1], known[1]),
        channels=parts[0].shape[-1],
        classes=int(max(label.max() for label in known)) + 1,
        check=check,
        num_validation=lambda request: len(known[1]),
    )
