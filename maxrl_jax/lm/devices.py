"""How a step uses devices: the whole batch on one, or a share of it on each, whoever provides them."""

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int32


class Share(Protocol):
    """A device's share of a batch."""

    def ids(self, total: int) -> Int32[Array, " P"]:
        """Numbers of this device's part of a batch of ``total``."""
        ...

    def sum(self, tree: Any) -> Any:
        """The sum over all shares."""
        ...


class Whole:
    """The share of a device that has the whole batch."""

    def ids(self, total: int) -> Int32[Array, " P"]:
        """All of them."""
        return jnp.arange(total, dtype=jnp.int32)

    def sum(self, tree: Any) -> Any:
        """The tree itself."""
        return tree


class Devices(Protocol):
    """The devices of a run; `maxrl_jax.devices.data_parallel.MeshDevices` are those of a mesh."""

    @property
    def count(self) -> int:
        """How many there are."""
        ...

    @property
    def everywhere(self) -> jax.sharding.Sharding:
        """The sharding of an array that every device holds whole."""
        ...

    def over_batch(self, function: Callable[..., Any], *arguments: Any, batch_outputs: bool = False) -> Any:
        """``function(share, *arguments)`` on every device; see `data_parallel.over_batch`."""
        ...

    def over_parts(self, function: Callable[[Any, Any], tuple[Any, Any]], whole: Any, parts: Any) -> Any:
        """``function(whole, part)`` on every device; see `data_parallel.over_parts`."""
        ...
