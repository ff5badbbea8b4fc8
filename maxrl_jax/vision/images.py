"""What a classifier is trained on: images of a training step and the validation images, wherever they come from.

A `Source` says what it gives and makes `Images` for a run. Nothing but the step decides what is in a batch, so a
resumed run sees what an uninterrupted one does.
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
    """An image that cannot be read. ``str()`` is one line: which, where, and what is wrong with it."""


@dataclasses.dataclass(frozen=True)
class Request:
    """What a run asks of a source.

    Attributes:
        data: the config's data fields: dir, image_size, num_classes, num_workers, eval_crop, jitter, seed.
        batch_size: images of a training step, over all hosts.
        seed: of the run: decides the training batches, not the validation images.
        num_images: validation images wanted of a source that can make any number.
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

    What the host *brings* for a batch is a pytree of arrays with the batch first, this host's part of it; the run
    splits it over the devices and hands it to the function that makes the batch, inside the jitted step.
    """

    @property
    def host_batches(self) -> Callable[[int], Iterator[Any]] | None:
        """``step -> iterator`` of what this host brings for training from that step on; None if nothing."""
        ...

    def training_batch(self, step: jax.Array, brought: Any) -> Batch:
        """Inside jit: the batch of a step, [batch_size], from what was brought (None if nothing)."""
        ...

    def validation_batches(self, size: int) -> Iterator[Any]:
        """What this host brings for batches of ``size`` (over all hosts) that hold every validation image once."""
        ...

    def validation_batch(self, brought: Any) -> Masked:
        """Inside jit: a validation batch from what was brought."""
        ...


def _anything(data: Any) -> None:
    """Accepts any data fields."""


def _as_many_as_asked_for(request: Request) -> int:
    return request.num_images


@dataclasses.dataclass(frozen=True)
class Source:
    """Where images come from: one entry of the table of `sources`, or a user's own.

    Attributes:
        make: ``make(request) -> Images``. May raise ValueError, in one line.
        channels: of an image.
        classes: how many there are; None where data.num_classes may choose.
        check: ``check(data)`` raises ConfigError (or ValueError), in one line, before anything is compiled.
        num_validation: ``num_validation(request)``: the validation images there are.
    """

    make: Callable[[Request], Images]
    channels: int
    classes: int | None = None
    check: Callable[[Any], None] = _anything
    num_validation: Callable[[Request], int] = _as_many_as_asked_for
