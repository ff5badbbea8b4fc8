"""Convolution with batch normalisation, and the two residual blocks of ResNet v1.5.

Letters: B images, H x W pixels and C channels in, h x w pixels and D channels out.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from maxrl_jax.vision.resnet.config import Config

# Normal with variance 2 / (kernel^2 x output channels), He et al. 2015.
_HE_FAN_OUT = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")


class ConvNorm(nnx.Module):
    """A convolution without bias, then batch normalisation.

    The convolution runs in the compute type; statistics, normalisation, scale and bias are float32 whatever it is.
    Means and variances are over all B, H, W of the array the layer is given. Under jit that is the global batch, on
    any number of devices it is split over: devices exchange their sums, and 8 of them give what 1 gives.

    Args:
        features: (input, output) channels.
        kernel: pixels a side; odd.
        stride: of the convolution.
        config: momentum and epsilon of the normalisation.
        dtype: compute type.
        zero_scale: starts with scale 0, so that a residual branch that ends here is 0 at first.
    """

    def __init__(
        self,
        features: tuple[int, int],
        kernel: int,
        stride: int,
        config: Config,
        *,
        dtype: Any,
        rngs: nnx.Rngs,
        zero_scale: bool = False,
    ):
        # Symmetric padding, as in the published networks; "SAME" would be one-sided at stride 2.
        margin = (kernel // 2, kernel // 2)
        self.conv = nnx.Conv(
            *features,
            kernel_size=(kernel, kernel),
            strides=(stride, stride),
            padding=[margin, margin],
            use_bias=False,
            dtype=dtype,
            kernel_init=_HE_FAN_OUT,
            rngs=rngs,
        )
        self.norm = nnx.BatchNorm(
            features[1],
            momentum=config.momentum,
            epsilon=config.epsilon,
            dtype=jnp.float32,
            scale_init=nnx.initializers.zeros if zero_scale else nnx.initializers.ones,
            rngs=rngs,
        )

    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w D"]:
        """Normalised by the batch's statistics (train), which also move the running ones, or by the running ones."""
        y = self.conv(x)
        return self.norm(y, use_running_average=not train).astype(y.dtype)


class Block(nnx.Module):
    """A residual block: relu(x + branch(x)); the last norm of the branch starts at scale 0 (Goyal et al. 2017).

    A bottleneck has its stride in the 3x3 convolution, which is what v1.5 means.
    """

    def __init__(
        self,
        in_features: int,
        features: int,
        stride: int,
        bottleneck: bool,
        config: Config,
        *,
        dtype: Any,
        rngs: nnx.Rngs,
    ):
        out_features = 4 * features if bottleneck else features
        if bottleneck:
            shapes = [((in_features, features), 1, 1), ((features, features), 3, stride)]
            shapes += [((features, out_features), 1, 1)]
        else:
            shapes = [((in_features, features), 3, stride), ((features, features), 3, 1)]
        last = len(shapes) - 1
        self.branch = nnx.List(
            [
                ConvNorm(*shape, config, dtype=dtype, rngs=rngs, zero_scale=place == last)
                for place, shape in enumerate(shapes)
            ]
        )
        changes = stride != 1 or in_features != out_features
        self.shortcut = (
            ConvNorm((in_features, out_features), 1, stride, config, dtype=dtype, rngs=rngs) if changes else None
        )

    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w D"]:
        """The block's output, with its stride's fraction of the pixels."""
        y = x
        for layer in self.branch[:-1]:
            y = jax.nn.relu(layer(y, train))
        y = self.branch[-1](y, train)
        if self.shortcut is not None:
            x = self.shortcut(x, train)
        return jax.nn.relu(x + y)
