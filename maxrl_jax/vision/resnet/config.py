"""The shape of a ResNet: depths and stems by name."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple


class Depth(NamedTuple):
    """Blocks of each stage, and whether they are bottlenecks (1x1, 3x3, 1x1) or pairs of 3x3."""

    stages: tuple[int, ...]
    bottleneck: bool


class Stem(NamedTuple):
    """The first convolution, and whether a 3x3 max pool of stride 2 follows it."""

    kernel: int
    stride: int
    pool: bool

    @property
    def reduction(self) -> int:
        """Side, in image pixels, of one pixel after the stem."""
        return self.stride * (2 if self.pool else 1)


DEPTHS = {
    8: Depth((1, 1, 1), bottleneck=False),
    10: Depth((1, 1, 1, 1), bottleneck=False),
    14: Depth((2, 2, 2), bottleneck=False),
    18: Depth((2, 2, 2, 2), bottleneck=False),
    34: Depth((3, 4, 6, 3), bottleneck=False),
    50: Depth((3, 4, 6, 3), bottleneck=True),
    101: Depth((3, 4, 23, 3), bottleneck=True),
    152: Depth((3, 8, 36, 3), bottleneck=True),
}
"""By the number of layers with weights (He et al. 2016, Table 1; 8 and 14 are the usual shapes for small images)."""

STEMS = {
    "imagenet": Stem(7, 2, pool=True),
    "stride1": Stem(3, 1, pool=False),
    "stride2": Stem(3, 2, pool=False),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """A ResNet v1.5.

    Attributes:
        depth: a key of `DEPTHS`.
        width: channels of the first stage; each later one has twice as many (a bottleneck ends in four times that).
        stem: a key of `STEMS`.
        num_classes: C.
        channels: of the image.
        momentum: of the running statistics, new = momentum x old + (1 - momentum) x batch.
        epsilon: added to the variance.
    """

    depth: int = 50
    width: int = 64
    stem: str = "imagenet"
    num_classes: int = 1000
    channels: int = 3
    momentum: float = 0.9
    epsilon: float = 1e-5

    def __post_init__(self):
        for name, table in (("depth", DEPTHS), ("stem", STEMS)):
            if getattr(self, name) not in table:
                raise ValueError(f"{name}: got {getattr(self, name)!r}, allowed: {', '.join(map(str, table))}")

    @property
    def smallest_image(self) -> int:
        """Side in pixels below which the last stage would have less than one pixel."""
        return STEMS[self.stem].reduction * 2 ** (len(DEPTHS[self.depth].stages) - 1)
