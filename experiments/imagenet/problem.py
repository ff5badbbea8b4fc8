"""What an image config stands for: the network, the images and the mesh, made once for a run."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from experiments.imagenet import sources
from maxrl_jax.runs import keys
from maxrl_jax.runs.devices import sharding
from maxrl_jax.runs.devices.precision import compute_dtype
from maxrl_jax.vision import resnet


def model_config(config: Any) -> resnet.Config:
    """The network's shape."""
    return resnet.Config(
        depth=config.model.depth,
        width=config.model.width,
        stem=config.model.stem,
        num_classes=config.data.num_classes,
        channels=1 if config.data.name in sources.DRAWN else 3,
    )


@dataclasses.dataclass(frozen=True)
class Problem:
    """The parts that training, evaluation and analysis share.

    Attributes:
        config: the run's config.
        network: the classifier as pure functions.
        source: of the images.
        mesh: of the run's devices.
    """

    config: Any
    network: resnet.Network
    source: sources.Drawn | sources.Files
    mesh: Mesh

    @classmethod
    def make(cls, config: Any) -> Problem:
        """Builds the network's graph and the classes."""
        mesh = sharding.mesh_from_config(config)
        network = resnet.Network.make(model_config(config), compute_dtype(config.model.compute_dtype))
        return cls(config, network, sources.make(config, mesh), mesh)

    def init(self) -> tuple[Any, Any]:
        """Fresh (parameters, batch statistics), placed on the mesh."""

        def build(seed: jax.Array) -> tuple[Any, Any]:
            return self.network.init(keys.stream(seed, "params"))

        return sharding.init(build, self.mesh, jnp.uint32(self.config.seed))
