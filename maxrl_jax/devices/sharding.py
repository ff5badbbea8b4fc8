"""One mesh for a run: data parallel over the axis "data", parameters shared out over the axis "fsdp".

Batches are split over both axes; parameters and optimizer state are replicated, or, with fsdp > 1, split
over "fsdp" along their largest dimension that divides. The first of several may be that of a stack of blocks, which a
loop goes through, and is never split.
"""

import math
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from maxrl_jax.errors import ConfigError

DATA, FSDP = "data", "fsdp"
BATCH = (DATA, FSDP)
_SMALLEST = 2**12
"""Parameters with fewer elements stay whole: gathering them costs more than keeping them."""


def make_mesh(fsdp: int = 1, devices: Any = None) -> Mesh:
    """A mesh over all devices, shape ``[devices / fsdp, fsdp]``, axes ("data", "fsdp").

    Raises:
        ConfigError: ``mesh.fsdp`` does not divide the number of devices.
    """
    devices = jax.devices() if devices is None else list(devices)
    if fsdp < 1 or len(devices) % fsdp:
        raise ConfigError("mesh.fsdp", fsdp, f"a divisor of the number of devices, {len(devices)}")
    return jax.make_mesh((len(devices) // fsdp, fsdp), (DATA, FSDP), (AxisType.Auto, AxisType.Auto), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of an array that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """The sharding of a batch whose dimension ``axis`` is split over all devices."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, BATCH))


def parameter_sharding(mesh: Mesh, leaf: Any) -> NamedSharding:
    """The sharding of one parameter or optimizer leaf: see the module's text."""
    shape, fsdp = np.shape(leaf), mesh.shape[FSDP]
    fits = [d for d, size in enumerate(shape) if size % fsdp == 0 and (d or len(shape) == 1)]
    if fsdp == 1 or not fits or math.prod(shape) < _SMALLEST:
        return replicated(mesh)
    largest = max(fits, key=lambda d: shape[d])
    return NamedSharding(mesh, PartitionSpec(*[FSDP if d == largest else None for d in range(len(shape))]))


def parameter_shardings(mesh: Mesh, tree: Any) -> Any:
    """`parameter_sharding` of every leaf, a pytree like ``tree`` (arrays or ShapeDtypeStructs)."""
    return jax.tree.map(lambda leaf: parameter_sharding(mesh, leaf), tree)


def init(function: Any, mesh: Mesh, *arguments: Any) -> Any:
    """``function(*arguments)`` jitted with its result made where it belongs, never whole on one device."""
    shapes = jax.eval_shape(function, *arguments)
    return jax.jit(function, out_shardings=parameter_shardings(mesh, shapes))(*arguments)


def shard_parameters(tree: Any, mesh: Mesh) -> Any:
    """Places parameters (each process holds the same host values) with `parameter_sharding`."""
    return jax.tree.map(lambda leaf: place(leaf, parameter_sharding(mesh, leaf)), tree)


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Places a whole copy of every leaf on every device; each process holds the same host values."""
    return jax.tree.map(lambda leaf: place(leaf, replicated(mesh)), tree)


def shard_batch(tree: Any, mesh: Mesh | None, axis: int = 0) -> Any:
    """Splits host batches over all devices along ``axis``.

    Args:
        tree: pytree of host arrays: the whole batch in a run of one process, else this process's equal part
            of it, the parts in the order of the processes.
        mesh: the run's mesh; None leaves the batch to the default device.
        axis: the batch dimension.
    """
    if mesh is None:
        return jax.device_put(tree)
    target = batch_sharding(mesh, axis)
    return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(target, np.asarray(leaf)), tree)


def shard_if_even(tree: Any, mesh: Mesh, axis: int = 0) -> Any:
    """Splits independent parts (seeds, say) over all devices where they divide, else gives each device all of them.

    Args:
        tree: pytree of host arrays, the same in every process, all of one size along ``axis``.
        mesh: the run's mesh.
        axis: the dimension of the parts.
    """
    even = all(np.shape(leaf)[axis] % mesh.size == 0 for leaf in jax.tree.leaves(tree))
    target = batch_sharding(mesh, axis) if even else replicated(mesh)
    return jax.tree.map(lambda leaf: place(leaf, target), tree)


def constrain_batch(tree: Any, mesh: Mesh, axis: int = 0) -> Any:
    """Inside jit: splits a batch made on the devices along ``axis``, so what follows is parallel."""
    return jax.lax.with_sharding_constraint(tree, batch_sharding(mesh, axis))


def mesh_of(tree: Any) -> Mesh | None:
    """The mesh the leaves of a pytree are placed on, or None for leaves of a single device."""
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, jax.Array) and isinstance(leaf.sharding, NamedSharding):
            mesh = leaf.sharding.mesh
            return mesh if isinstance(mesh, Mesh) else None
    return None


def to_host(leaf: Any) -> np.ndarray:
    """An array on the host, gathered when it is spread over processes, all of which call this."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable and not leaf.is_fully_replicated:
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
    return np.asarray(leaf)


def place(leaf: Any, target: jax.sharding.Sharding) -> jax.Array:
    """Places one array with a sharding over all processes; each of them holds it in full, or its part of it."""
    if target.is_fully_addressable or (isinstance(leaf, jax.Array) and not leaf.is_fully_addressable):
        return jax.device_put(leaf, target)
    host = np.asarray(leaf)
    return jax.make_array_from_callback(host.shape, target, lambda index: host[index])
