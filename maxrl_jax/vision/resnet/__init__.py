"""ResNet v1.5 in flax.nnx: ResNet-50 and its family, and small ones for small images."""

from maxrl_jax.vision.resnet.config import DEPTHS, STEMS, Config
from maxrl_jax.vision.resnet.model import Network, ResNet

__all__ = ["DEPTHS", "STEMS", "Config", "Network", "ResNet"]
