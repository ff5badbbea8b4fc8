"""The network, images and mesh of an image config, made once for a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from maxrl_jax import keys
from maxrl_jax.devices import sharding
from maxrl_jax.devices.precision import compute_dtype
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.config.imported import imported
from maxrl_jax.vision import resnet, sources
from maxrl_jax.vision.images import Batch, Images, Masked, Request, Source


def model_config(config: Any) -> resnet.Config:
    """The network's shape."""
    return resnet.Config(
        depth=config.model.depth,
        width=config.model.width,
        stem=config.model.stem,
        num_classes=config.data.num_classes,
        channels=image_source(config).channels,
    )


def image_source(config: Any) -> Source:
    """The source of `data.name`; ConfigError where there is none."""
    if config.data.name in sources.TABLE:
        return sources.TABLE[config.data.name]
    source = imported(config, "data.name", f"one of {', '.join(sources.TABLE)}")
    if not isinstance(source, Source):
        allowed = f"a maxrl_jax.vision.images.Source, not {type(source).__name__}"
        raise ConfigError("data.name", config.data.name, allowed)
    return source


def image_request(config: Any) -> Request:
    """The run's request to its source, for this process."""
    sizes = config.batch_size, config.seed, config.eval.num_images
    return Request(config.data, *sizes, jax.process_index(), jax.process_count())


def make_images(config: Any) -> Images:
    """The images of a config; ConfigError where the source cannot make them."""
    try:
        return image_source(config).make(image_request(config))
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError("data.name", config.data.name, f"a source that makes its images ({error})") from None


@dataclasses.dataclass(frozen=True)
class Problem:
    """A run's config, network, images and mesh, shared by training, evaluation and the measurement of gradients."""

    config: Any
    network: resnet.Network
    images: Images
    mesh: Mesh

    @classmethod
    def make(cls, config: Any) -> Problem:
        """Builds the network's graph and the classes."""
        mesh = checks.mesh(config)
        network = resnet.Network.make(model_config(config), compute_dtype(config.model.compute_dtype))
        return cls(config, network, make_images(config), mesh)

    @property
    def num_validation(self) -> int:
        """Number of validation images."""
        return image_source(self.config).num_validation(image_request(self.config))

    def training_batch(self, step: jax.Array, host_batch: Any) -> Batch:
        """Inside jit: the images of a step, split over the devices."""
        return sharding.constrain_batch(self.images.training_batch(step, host_batch), self.mesh)

    def validation_batches(self, size: int) -> Iterator[Any]:
        """The host batches of each validation batch, on the devices."""
        for host_batch in self.images.validation_batches(size):
            yield sharding.shard_batch(host_batch, self.mesh)

    def validation_batch(self, host_batch: Any) -> Masked:
        """Inside jit: a validation batch, split over the devices."""
        return sharding.constrain_batch(self.images.validation_batch(host_batch), self.mesh)

    def init(self) -> tuple[Any, Any]:
        """Fresh (parameters, batch statistics), placed on the mesh."""

        def build(seed: jax.Array) -> tuple[Any, Any]:
            return self.network.init(keys.stream(seed, "params"))

        return sharding.init(build, self.mesh, jnp.uint32(self.config.seed))
