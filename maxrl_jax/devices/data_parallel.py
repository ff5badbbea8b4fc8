"""One function over a batch, each device on its own share: what a driver writes once for 1 device or a pod.

Inside the function a device knows which share is its own and can add up over all shares. On one device the
function is called as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from maxrl_jax.devices.sharding import BATCH, DATA, FSDP, parameter_shardings, replicated


@dataclasses.dataclass(frozen=True)
class Share:
    """A device's part of a batch, inside `over_batch`; by default all of it.

    Attributes:
        count: number of shares.
        places: specs of the parameters, where devices have shards of them.
    """

    count: int = 1
    places: Any = None

    def ids(self, total: int) -> jax.Array:
        """Indices [total / count] int32 of this device's part of a batch of ``total``."""
        size = total // self.count
        index = jax.lax.axis_index(BATCH) if self.count > 1 else 0
        return index * size + jnp.arange(size, dtype=jnp.int32)

    def sum(self, tree: Any) -> Any:
        """The sum over all shares, known to every device."""
        return jax.lax.psum(tree, BATCH) if self.count > 1 else tree

    def sum_gradients(self, gradients: Any) -> Any:
        """The sum of the shares' gradients; of a split parameter its own shard's, which `fsdp` summed over "fsdp"."""
        if self.places is None:
            return self.sum(gradients)
        axes = jax.tree.map(lambda place: DATA if FSDP in place else BATCH, self.places)
        return jax.tree.map(jax.lax.psum, gradients, axes)

    def most(self, counts: jax.Array) -> jax.Array:
        """The largest of the counts of the devices that share their parameters."""
        return counts if self.places is None else jax.lax.pmax(counts, FSDP)


def over_batch(
    function: Callable[..., Any],
    mesh: Mesh | None,
    *arguments: Any,
    params: int = 0,
    gradients: bool = False,
    batch_outputs: bool = False,
) -> Any:
    """``function(share, *arguments)`` on every device of the mesh.

    Args:
        function: makes or takes its part of the batch by ``share.ids`` and returns a pytree that is the same on
            every device (``share.sum`` makes it so), or, with ``batch_outputs``, parts of [B / count, ...] arrays.
        mesh: the run's mesh; None or one device calls the function once.
        *arguments: pytrees every device gets whole.
        params: how many of the first arguments are parameters; of those that are split a device gets its shards.
        gradients: the function returns a pytree that is the same on every device, and gradients of the first argument.
        batch_outputs: whether outputs are parts to be laid end to end.

    Returns:
        What the function returns, for the whole batch; whole on every device, so that each process of a run can
        read it.
    """
    if mesh is None or mesh.size == 1:
        return function(Share(), *arguments)
    whole = PartitionSpec()
    places = tuple(
        jax.tree.map(lambda place: place.spec, parameter_shardings(mesh, tree)) for tree in arguments[:params]
    )
    share = Share(mesh.size, places[0] if params and mesh.shape[FSDP] > 1 else None)
    outputs = jax.shard_map(
        lambda *inner: function(share, *inner),
        mesh=mesh,
        in_specs=(*places, *[whole] * len(arguments[params:])),
        out_specs=PartitionSpec(BATCH) if batch_outputs else (whole, places[0]) if gradients else whole,
        check_vma=False,  # loops whose length differs from device to device
    )(*arguments)
    return jax.lax.with_sharding_constraint(outputs, replicated(mesh)) if batch_outputs else outputs


def over_parts(function: Callable[[Any, Any], tuple[Any, Any]], mesh: Mesh | None, whole: Any, parts: Any) -> Any:
    """``function(whole, part) -> (kept, shown)`` on every device, some of it with what an earlier call kept there.

    Args:
        function: called with a device's own entry of every leaf of ``parts``.
        mesh: the run's mesh; None or one device calls the function once.
        whole: pytree every device gets whole.
        parts: pytree of [devices, ...].

    Returns:
        (kept, shown), pytrees of [devices, ...]. What is kept stays on its device; what is shown is whole on every
        device, so that each process of a run can read it.
    """

    def inner(whole: Any, parts: Any) -> Any:
        outputs = function(whole, jax.tree.map(lambda leaf: leaf[0], parts))
        return jax.tree.map(lambda leaf: leaf[None], outputs)

    if mesh is None or mesh.size == 1:
        return inner(whole, parts)
    kept, shown = jax.shard_map(
        inner,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(BATCH)),
        out_specs=PartitionSpec(BATCH),
        check_vma=False,  # loops whose length differs from device to device
    )(whole, parts)
    return kept, jax.lax.with_sharding_constraint(shown, replicated(mesh))
