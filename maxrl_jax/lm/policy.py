"""A policy: a decoder without its parameters, and how it computes."""

import dataclasses
from typing import Any

import jax
from flax import nnx


@dataclasses.dataclass(frozen=True)
class Policy:
    """Puts a decoder and parameters together.

    Attributes:
        graph: the decoder's structure (`nnx.graphdef`).
        dtype: of forward and backward passes; parameters themselves stay in their master type.
        remat: whether backward passes run each block again and keep less of it.
    """

    graph: Any
    dtype: jax.typing.DTypeLike
    remat: bool = False

    def master(self, params: Any) -> Any:
        """The decoder with parameters as they are."""
        return nnx.merge(self.graph, params)

    def model(self, params: Any) -> Any:
        """The decoder with parameters whole and in the compute type, which rollouts are drawn from."""
        return self.master(params).computing(self.dtype)
