"""ImageNet's record files as the images of a run, read and decoded by worker processes on each host."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax

from maxrl_jax.runs.config.errors import ConfigError
from maxrl_jax.vision.imagenet2012 import source
from maxrl_jax.vision.images import Batch, Masked, Request, Source


@dataclasses.dataclass(frozen=True)
class Files:
    """The record files of data.dir; each host reads its part of a batch.

    Attributes:
        request: of the run.
    """

    request: Request

    @property
    def host_batches(self) -> Callable[[int], Iterator[Any]]:
        """``step -> iterator`` of this host's parts of the batches from that step on."""
        request, data = self.request, self.request.data

        def batches(step: int) -> Iterator[Any]:
            return source.train_batches(
                data.dir,
                request.batch_size,
                image_size=data.image_size,
                seed=request.seed,
                start_step=step,
                num_workers=data.num_workers,
                shard_index=request.shard_index,
                shard_count=request.shard_count,
            )

        return batches

    def training_batch(self, step: jax.Array, brought: Any) -> Batch:
        """The bytes that were brought, normalised."""
        del step
        return source.normalise(brought["image"]), brought["label"]

    def validation_batches(self, size: int) -> Iterator[Any]:
        """This host's parts of the validation batches."""
        data = self.request.data
        with source.validation_batches(
            data.dir,
            size,
            image_size=data.image_size,
            eval_crop=data.eval_crop,
            num_workers=data.num_workers,
            shard_index=self.request.shard_index,
            shard_count=self.request.shard_count,
        ) as batches:
            yield from batches

    def validation_batch(self, brought: Any) -> Masked:
        """The bytes that were brought, normalised."""
        return source.normalise(brought["image"]), brought["label"], brought["mask"]


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
