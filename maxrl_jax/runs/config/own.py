"""A function that a user names in a config, tried without data when the run is configured."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from maxrl_jax.errors import ConfigError, one_line


def check_shape(
    key: str,
    name: str,
    function: Callable[..., Any],
    arguments: Sequence[jax.ShapeDtypeStruct],
    shape: tuple[int, ...],
    *,
    takes: str,
) -> None:
    """Evaluates a function abstractly and compares the result's shape: no wrong one is broadcast in silence later.

    Args:
        key: the config's field.
        name: what the field holds, ``my.module:function``.
        function: what it names.
        arguments: shapes and types of the arrays it will be given.
        shape: of what it must return, in floating point.
        takes: the arguments' shapes and the result's in words, "rewards [*batch, N] to advantages [*batch, N]".

    Raises:
        ConfigError: it raises an exception, or returns something else.
    """
    allowed = f"a function of {takes}, of JAX operations alone"
    try:
        result = jax.eval_shape(function, *arguments)
    except Exception as error:  # whatever a function of someone else's raises
        given = ", ".join(str(list(argument.shape)) for argument in arguments)
        raise ConfigError(
            key, name, f"{allowed}; given {given} it raises {type(error).__name__}: {_first_line(error)}"
        ) from error
    if not isinstance(result, jax.ShapeDtypeStruct):
        raise ConfigError(key, name, f"{allowed}; it returns {type(result).__name__}, not one array")
    given = ", ".join(str(list(argument.shape)) for argument in arguments)
    if result.shape != shape:
        raise ConfigError(key, name, f"{allowed}; given {given} it returns {list(result.shape)}, not {list(shape)}")
    if not jnp.issubdtype(result.dtype, jnp.floating):
        raise ConfigError(key, name, f"{allowed}; it returns {result.dtype}, not floating point")


def _first_line(error: Exception) -> str:
    """The first line of a message: JAX's run over many."""
    lines = str(error).strip().splitlines()
    return one_line(ValueError(lines[0])) if lines else "no message"
