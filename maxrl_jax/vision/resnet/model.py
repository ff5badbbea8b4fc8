"""ResNet v1.5 (flax.nnx), and the same as a pure function of its parameters and batch statistics.

Letters: B images, H x W pixels, C channels.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Float32

from maxrl_jax.vision.resnet.config import DEPTHS, STEMS, Config
from maxrl_jax.vision.resnet.layers import Block, ConvNorm


class ResNet(nnx.Module):
    """``model(images, train) -> logits``, float32.

    Parameters and batch statistics are float32; convolutions run in ``dtype``. The classifier starts from a normal of
    standard deviation 0.01 (Goyal et al. 2017), so an untrained network gives every class about the same chance.
    """

    def __init__(self, config: Config, *, dtype: Any = jnp.float32, rngs: nnx.Rngs):
        depth, stem = DEPTHS[config.depth], STEMS[config.stem]
        self.config = config
        self.stem = ConvNorm((config.channels, config.width), stem.kernel, stem.stride, config, dtype=dtype, rngs=rngs)
        blocks, features = [], config.width
        for stage, count in enumerate(depth.stages):
            inner = config.width * 2**stage
            for place in range(count):
                stride = 2 if stage and not place else 1
                blocks.append(Block(features, inner, stride, depth.bottleneck, config, dtype=dtype, rngs=rngs))
                features = 4 * inner if depth.bottleneck else inner
        self.blocks = nnx.List(blocks)
        self.head = nnx.Linear(
            features, config.num_classes, dtype=dtype, kernel_init=nnx.initializers.normal(0.01), rngs=rngs
        )

    def __call__(self, images: Float[Array, "B H W C"], train: bool) -> Float32[Array, "B classes"]:
        """Logits; with ``train`` by the batch's own statistics, which move the running ones."""
        x = jax.nn.relu(self.stem(images, train))
        if STEMS[self.config.stem].pool:
            around = ((0, 0), (1, 1), (1, 1), (0, 0))
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), around)
        for block in self.blocks:
            x = block(x, train)
        # The mean over pixels in float32: a bfloat16 sum of 49 terms loses two digits.
        means = jnp.mean(x, axis=(1, 2), dtype=jnp.float32)
        return self.head(means).astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class Network:
    """A ResNet as pure functions of two pytrees, its parameters and its batch statistics.

    Attributes:
        config: its shape.
        dtype: compute type of the convolutions.
        graph: the model without its arrays.

    Example:
        >>> network = Network.make(Config(depth=8, width=4, stem="stride1", num_classes=5, channels=1))
        >>> params, stats = network.init(jax.random.key(0))
        >>> logits, stats = network.train(params, stats, jnp.ones((2, 8, 8, 1)))
        >>> network.predict(params, stats, jnp.ones((3, 8, 8, 1))).shape
        (3, 5)
    """

    config: Config
    dtype: Any
    graph: Any

    @classmethod
    def make(cls, config: Config, dtype: Any = jnp.float32) -> Network:
        """Builds the graph; no array is made."""
        abstract = nnx.eval_shape(lambda: ResNet(config, dtype=dtype, rngs=nnx.Rngs(0)))
        return cls(config, dtype, nnx.graphdef(abstract))

    def init(self, key: jax.Array) -> tuple[Any, Any]:
        """Fresh (parameters, batch statistics), float32; the key is consumed."""
        model = ResNet(self.config, dtype=self.dtype, rngs=nnx.Rngs(key))
        _, params, stats = nnx.split(model, nnx.Param, nnx.BatchStat)
        return params, stats

    def train(
        self, params: Any, stats: Any, images: Float[Array, "B H W C"]
    ) -> tuple[Float32[Array, "B classes"], Any]:
        """Logits by the batch's own statistics, and the running statistics after it."""
        # A copy: the arguments stay as they are when the model's statistics move, also under grad.
        model = nnx.merge(self.graph, params, stats, copy=True)
        logits = model(images, train=True)
        return logits, nnx.state(model, nnx.BatchStat)

    def predict(self, params: Any, stats: Any, images: Float[Array, "B H W C"]) -> Float32[Array, "B classes"]:
        """Logits by the running statistics: each image's are a function of that image alone."""
        return nnx.merge(self.graph, params, stats, copy=True)(images, train=False)
