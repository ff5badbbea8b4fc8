"""Images drawn on the device: each is a function of its class and its key; nothing is read or stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maxrl_jax import keys
from maxrl_jax.errors import ConfigError
from maxrl_jax.vision import glyphs
from maxrl_jax.vision.images import Batch, Images, Masked, Request, Source


@dataclasses.dataclass(frozen=True)
class Drawn(Images):
    """Glyphs.

    Training draws new images each step from the run's seed; validation is one fixed set of num_images, a function of
    data.seed, with the same number of images from every class.

    Attributes:
        request: of the run.
        classes: the strokes of every class.
    """

    request: Request
    classes: glyphs.Strokes

    def training_batch(self, step: jax.Array, host_batch: None) -> Batch:
        """The batch of a step, [batch_size]."""
        del host_batch
        seed, size = self.request.seed, self.request.batch_size
        label_key = keys.stream(seed, "labels", step)
        labels = jax.random.randint(label_key, (size,), 0, self.request.data.num_classes, jnp.int32)
        return self._draw(labels, glyphs.image_keys(keys.stream(seed, "images", step), size))

    def validation_batches(self, size: int) -> Iterator[np.ndarray]:
        """This host's part of the numbers of each batch's images, int32; numbers past the end are padding."""
        rows = size // self.request.shard_count
        first = self.request.shard_index * rows
        for start in range(first, self.request.num_images + first, size):
            yield np.arange(start, start + rows, dtype=np.int32)

    def validation_batch(self, host_batch: jax.Array) -> Masked:
        """The images with these numbers, int32 [B]."""
        key = keys.stream(self.request.data.seed, "validation")
        labels = host_batch % self.request.data.num_classes
        images, labels = self._draw(labels, jax.vmap(jax.random.fold_in, (None, 0))(key, host_batch))
        return images, labels, host_batch < self.request.num_images

    def _draw(self, labels: jax.Array, image_keys: jax.Array) -> Batch:
        data = self.request.data
        return glyphs.render_from_keys(self.classes, labels, image_keys, data.image_size, data.jitter), labels


def _source(
    strokes: Callable[[Any], glyphs.Strokes], classes: int | None = None, check: Callable[[Any], Any] | None = None
) -> Source:
    """A source of images of ``strokes(data)``; ``check(data)`` raises ValueError for too many classes."""

    def checked(data: Any) -> None:
        if data.dir:
            raise ConfigError("data.dir", data.dir, f"an empty string: {data.name} is drawn, not read")
        if check is not None:
            _of_classes(data, check)

    return Source(lambda request: Drawn(request, _of_classes(request.data, strokes)), 1, classes, checked)


def _of_classes(data: Any, call: Callable[[Any], Any]) -> Any:
    try:
        return call(data)
    except ValueError as error:
        raise ConfigError("data.num_classes", data.num_classes, str(error)) from None


GLYPHS = _source(lambda data: glyphs.make_strokes(keys.stream(data.seed, "strokes"), data.num_classes))
DIGITS = _source(lambda data: glyphs.digits.strokes(), glyphs.digits.NUM_CLASSES)
# The check only counts the strokes in each file.
KANJI = _source(
    lambda data: glyphs.kanji.strokes(data.num_classes), check=lambda data: glyphs.kanji.characters(data.num_classes)
)
