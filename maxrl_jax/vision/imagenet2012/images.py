"""ImageNet's record files as a run's images, read and decoded by worker processes on each host."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax

from maxrl_jax.errors import ConfigError
from maxrl_jax.vision.imagenet2012 import source
from maxrl_jax.vision.images import Batch, Images, Masked, Request, Source


@dataclasses.dataclass(frozen=True)
class Files(Images):
    """The record files of data.dir; each host reads its part of a batch.

    Attributes:
        request: of the run.
    """

    request: Request

    @property
    def _reading(self) -> dict[str, Any]:
        fields = {"shard_index": self.request.shard_index, "shard_count": self.request.shard_count}
        return fields | {name: self.request.data[name] for name in ("image_size", "num_workers")}

    @property
    def host_batches(self) -> Callable[[int], Iterator[Any]]:
        """``step -> iterator`` over this host's parts of the batches from that step on."""
        request = self.request
        return lambda step: source.train_batches(
            request.data.dir, request.batch_size, seed=request.seed, start_step=step, **self._reading
        )

    def training_batch(self, step: jax.Array, host_batch: Any) -> Batch:
        """The bytes, normalised."""
        del step
        return source.normalise(host_batch["image"]), host_batch["label"]

    def validation_batches(self, size: int) -> Iterator[Any]:
        """This host's parts of the validation batches."""
        data = self.request.data
        with source.validation_batches(data.dir, size, eval_crop=data.eval_crop, **self._reading) as batches:
            yield from batches

    def validation_batch(self, host_batch: Any) -> Masked:
        """The bytes, normalised."""
        return source.normalise(host_batch["image"]), host_batch["label"], host_batch["mask"]


def _check(data: Any) -> None:
    try:
        source.check(data.dir)
    except ValueError as error:
        raise ConfigError("data.dir", data.dir, str(error)) from None


SOURCE = Source(
    Files,
    channels=3,
    classes=source.NUM_CLASSES,
    check=_check,
    num_validation=lambda request: source.num_examples(request.data.dir)["validation"],
)
