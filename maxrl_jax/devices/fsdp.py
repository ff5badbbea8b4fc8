"""Parameters split over the axis "fsdp", inside `shard_map`: gathered where they are used.

A device holds a shard, a part of the parameter along one axis. The gradient of the gathered parameter is summed over
the axis and scattered in the shard's own type, float32: each device gets the part that its shard needs. A parameter
that is not split is cast alone, and its gradient is this device's own.
"""

import functools
from typing import Any, TypeVar

import jax

from maxrl_jax.devices.sharding import FSDP

Tree = TypeVar("Tree")


def is_split(shards: Any, shapes: Any) -> bool:
    """Whether any parameter of a pytree is a shard; arguments as those of `whole`."""
    return any(_axis(*pair) is not None for pair in zip(jax.tree.leaves(shards), jax.tree.leaves(shapes), strict=True))


def whole(shards: Tree, shapes: Any, dtype: jax.typing.DTypeLike) -> Tree:
    """The parameters, whole and in `dtype`.

    Args:
        shards: pytree of parameters or of this device's shards of them; leading axes, of a stack, are never split.
        shapes: pytree like it with the shapes (`jax.ShapeDtypeStruct`) of whole parameters, without leading axes.
        dtype: of the result, and of what is sent.
    """

    def of_leaf(shard: jax.Array, shape: jax.ShapeDtypeStruct) -> jax.Array:
        axis = _axis(shard, shape)
        return shard.astype(dtype) if axis is None else _gathered(shard, axis, dtype, shard.dtype)

    return jax.tree.map(of_leaf, shards, shapes)


def _axis(shard: jax.Array, shape: jax.ShapeDtypeStruct) -> int | None:
    """The axis that is split."""
    first = shard.ndim - shape.ndim
    return next((first + d for d, size in enumerate(shape.shape) if shard.shape[first + d] != size), None)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _gathered(shard: jax.Array, axis: int, dtype: jax.typing.DTypeLike, master: jax.typing.DTypeLike) -> jax.Array:
    return jax.lax.all_gather(shard.astype(dtype), FSDP, axis=axis, tiled=True)


def _forward(shard: jax.Array, axis: int, dtype: Any, master: Any) -> tuple[jax.Array, None]:
    return _gathered(shard, axis, dtype, master), None


def _backward(axis: int, dtype: Any, master: Any, _: None, gradient: jax.Array) -> tuple[jax.Array]:
    return (jax.lax.psum_scatter(gradient.astype(master), FSDP, scatter_dimension=axis, tiled=True),)


_gathered.defvjp(_forward, _backward)
