"""A user's own code by its name, ``my.module:function``, found and tried when a run is configured."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from maxrl_jax.errors import ConfigError, one_line
from maxrl_jax.runs.config.checks import field


def imported(config: Any, key: str, builtin: str) -> Any:
    """The object that a field names.

    Args:
        config: the run's config.
        key: of the field.
        builtin: what else the field may hold, for the message.

    Raises:
        ConfigError: no such module or name in it, or the module fails to import.
    """
    name = own_name(config, key, builtin)
    module, _, attribute = name.partition(":")
    try:
        found = importlib.import_module(module)
    except Exception as error:  # whatever a user's module raises while it is imported
        raise ConfigError(key, name, f"a module that imports ({type(error).__name__}: {one_line(error)})") from error
    if not hasattr(found, attribute):
        raise ConfigError(key, name, f"a name that module {module} has (it has no {attribute})")
    return getattr(found, attribute)


def own_name(config: Any, key: str, builtin: str) -> str:
    """The field's ``my.module:name``, not imported; ConfigError where it is none."""
    name = field(config, key)
    module, colon, attribute = str(name).partition(":")
    if not (module and colon and attribute):
        raise ConfigError(key, name, f"{builtin}, or your own as package.module:function")
    return name


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
    given = ", ".join(str(list(argument.shape)) for argument in arguments)
    try:
        result = jax.eval_shape(function, *arguments)
    except Exception as error:  # whatever a function of someone else's raises
        first, *_ = str(error).strip().splitlines() or ["no message"]  # JAX's run over many lines
        raise ConfigError(
            key, name, f"{allowed}; given {given} it raises {type(error).__name__}: {first[:200]}"
        ) from error
    if not isinstance(result, jax.ShapeDtypeStruct):
        raise ConfigError(key, name, f"{allowed}; it returns {type(result).__name__}, not one array")
    if result.shape != shape:
        raise ConfigError(key, name, f"{allowed}; given {given} it returns {list(result.shape)}, not {list(shape)}")
    if not jnp.issubdtype(result.dtype, jnp.floating):
        raise ConfigError(key, name, f"{allowed}; it returns {result.dtype}, not floating point")
