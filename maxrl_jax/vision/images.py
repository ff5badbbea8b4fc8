"""Training and validation images of a classifier, from any source.

A `Source` describes its images and makes the `Images` of a run. A batch is a function of the step alone, so a resumed
run sees the batches of an uninterrupted one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import jax

Batch = tuple[jax.Array, jax.Array]
"""(images [B, H, W, channels] float32, labels [B] int32)."""

Masked = tuple[jax.Array, jax.Array, jax.Array]
"""A validation batch: images, labels, and mask [B] bool, False on padding."""


class BrokenImage(ValueError):
    """An image that cannot be read; the message is one line with its name, place and error."""


@dataclasses.dataclass(frozen=True)
class Request:
    """A run's request to a source.

    Attributes:
        data: the config's data fields: dir, image_size, num_classes, num_workers, eval_crop, jitter, seed.
        batch_size: images of a training step, over all hosts.
        seed: of the run: determines the training batches, not the validation images.
        num_images: validation images wanted from a source that can make any number.
        shard_index: which of the hosts this is.
        shard_count: how many there are.
    """

    data: Any
    batch_size: int
    seed: int
    num_images: int
    shard_index: int = 0
    shard_count: int = 1


class Images(Protocol):
    """The images of a run.

    A *host batch* is this host's part of a batch, a pytree of arrays with the batch first. The run splits it over the
    devices and turns it into images and labels inside the jitted step; by default it is those already.
    """

    @property
    def host_batches(self) -> Callable[[int], Iterator[Any]] | None:
        """``step -> iterator`` over the host batches of training from that step on; None if there are none."""
        return None

    def training_batch(self, step: jax.Array, host_batch: Any) -> Batch:
        """Inside jit: the batch of a step, [batch_size], from its host batches (None if there are none)."""
        return host_batch

    def validation_batches(self, size: int) -> Iterator[Any]:
        """Host batches, ``size`` images over all hosts, that contain every validation image once."""
        ...

    def validation_batch(self, host_batch: Any) -> Masked:
        """Inside jit: a validation batch from its host batches."""
        return host_batch


@dataclasses.dataclass(frozen=True)
class Source:
    """A row of the table of `sources`, or a user's own source.

    Attributes:
        make: ``make(request) -> Images``. May raise a ValueError of one line.
        channels: of an image.
        classes: number of classes; None where data.num_classes may choose.
        check: ``check(data)`` raises a ConfigError (or ValueError) of one line before anything is compiled.
        num_validation: ``num_validation(request)``: number of validation images.
    """

    make: Callable[[Request], Images]
    channels: int
    classes: int | None = None
    check: Callable[[Any], None] = lambda data: None
    num_validation: Callable[[Request], int] = lambda request: request.num_images
