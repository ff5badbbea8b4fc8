"""Where images come from: drawn on the device, or read from ImageNet's record files.

Both give the same three things: the training batch of a step, inside the jitted step; what the host brings for it
(nothing for drawn images); and the validation batches. Nothing but the step decides what is in a batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from maxrl_jax.runs import keys
from maxrl_jax.runs.config.errors import ConfigError
from maxrl_jax.runs.devices import sharding
from maxrl_jax.vision.glyphs import digits, glyphs, kanji
from maxrl_jax.vision.imagenet2012 import source as imagenet2012

DRAWN = ("glyphs", "kanji", "digits")
NAMES = (*DRAWN, "imagenet2012")

Batch = tuple[jax.Array, jax.Array]
"""(images [B, H, W, channels] float32, labels [B] int32)."""

Masked = tuple[jax.Array, jax.Array, jax.Array]
"""A validation batch: images, labels, and mask [B] bool, False on padding."""


def num_classes(config: Any) -> int:
    """Classes there must be; 0 where the config may choose."""
    return {"digits": 10, "imagenet2012": imagenet2012.NUM_CLASSES}.get(config.data.name, 0)


def num_validation(config: Any) -> int:
    """Validation images there are."""
    if config.data.name in DRAWN:
        return config.eval.num_images
    return imagenet2012.num_examples(config.data.dir)["validation"]


def make(config: Any, mesh: Mesh) -> Drawn | Files:
    """The source of a config.

    Raises:
        ConfigError: more classes than there are.
    """
    if config.data.name == "imagenet2012":
        return Files(config, mesh)
    try:
        return Drawn(config, mesh, strokes(config))
    except ValueError as error:
        raise ConfigError("data.num_classes", config.data.num_classes, str(error)) from None


def strokes(config: Any) -> glyphs.Strokes:
    """The classes of a drawn source; those of `glyphs` are a function of data.seed."""
    if config.data.name == "digits":
        return digits.strokes()
    if config.data.name == "kanji":
        return kanji.strokes(config.data.num_classes)
    return glyphs.make_strokes(keys.stream(config.data.seed, "strokes"), config.data.num_classes)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Images drawn on the device: each is a function of its class and its key.

    Training draws new images each step from the run's seed; validation is one fixed set of eval.num_images,
    a function of data.seed, with as many images of every class.

    Attributes:
        config: of the run.
        mesh: batches are split over it.
        classes: the strokes of every class.
    """

    config: Any
    mesh: Mesh
    classes: glyphs.Strokes

    @property
    def host_batches(self) -> None:
        """The host brings nothing."""
        return

    def training_batch(self, step: jax.Array, brought: None) -> Batch:
        """The batch of a step, [batch_size]."""
        del brought
        config = self.config
        label_key = keys.stream(config.seed, "labels", step)
        labels = jax.random.randint(label_key, (config.batch_size,), 0, config.data.num_classes, jnp.int32)
        image_keys = glyphs.image_keys(keys.stream(config.seed, "images", step), config.batch_size)
        return self._draw(labels, image_keys)

    def validation_batches(self, size: int) -> Iterator[int]:
        """The number of the first image of each batch."""
        return iter(range(0, num_validation(self.config), size))

    def validation_batch(self, first: jax.Array, size: int) -> Masked:
        """Inside jit: ``size`` validation images from the given one on; the last batch is padded."""
        ids = first + jnp.arange(size, dtype=jnp.int32)
        key = keys.stream(self.config.data.seed, "validation")
        images, labels = self._draw(
            ids % self.config.data.num_classes, jax.vmap(jax.random.fold_in, (None, 0))(key, ids)
        )
        return images, labels, sharding.constrain_batch(ids < num_validation(self.config), self.mesh)

    def _draw(self, labels: jax.Array, image_keys: jax.Array) -> Batch:
        config = self.config
        labels = sharding.constrain_batch(labels, self.mesh)
        images = glyphs.render_from_keys(self.classes, labels, image_keys, config.data.image_size, config.data.jitter)
        return sharding.constrain_batch(images, self.mesh), labels


@dataclasses.dataclass(frozen=True)
class Files:
    """ImageNet's record files, read and decoded by worker processes; each process reads its part of a batch.

    Attributes:
        config: of the run.
        mesh: batches are split over it.
    """

    config: Any
    mesh: Mesh

    @property
    def host_batches(self) -> Callable[[int], Iterator[Any]]:
        """``step -> iterator`` of this process's parts of the batches from that step on."""
        data = self.config.data

        def batches(step: int) -> Iterator[Any]:
            return imagenet2012.train_batches(
                data.dir,
                self.config.batch_size,
                image_size=data.image_size,
                seed=self.config.seed,
                start_step=step,
                num_workers=data.num_workers,
                shard_index=jax.process_index(),
                shard_count=jax.process_count(),
            )

        return batches

    def training_batch(self, step: jax.Array, brought: Any) -> Batch:
        """The batch of a step, from what the host brought."""
        del step
        return imagenet2012.normalise(brought["image"]), brought["label"]

    def validation_batches(self, size: int) -> Iterator[Any]:
        """This process's parts of the validation batches, on the devices."""
        data = self.config.data
        with imagenet2012.validation_batches(
            data.dir,
            size,
            image_size=data.image_size,
            eval_crop=data.eval_crop,
            num_workers=data.num_workers,
            shard_index=jax.process_index(),
            shard_count=jax.process_count(),
        ) as batches:
            for batch in batches:
                yield sharding.shard_batch(batch, self.mesh)

    def validation_batch(self, brought: Any, size: int) -> Masked:
        """Inside jit: a validation batch from what the host brought."""
        del size
        return imagenet2012.normalise(brought["image"]), brought["label"], brought["mask"]
