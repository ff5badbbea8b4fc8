"""Checks of single config fields; each raises ConfigError naming the field, what was got, what is allowed.

A driver's ``check(config)`` calls these one after another before anything is compiled. They return the
value, so that a check can be used as the reading of the field.
"""

import math
from collections.abc import Iterable
from typing import Any

import jax
from jax.sharding import Mesh

from maxrl_jax.devices import sharding
from maxrl_jax.errors import ConfigError, suggestion


def field(config: Any, key: str) -> Any:
    """The value at a dotted key, by attribute access.

    Raises:
        ConfigError: if the config file has no such field.
    """
    value = config
    for name in key.split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            raise ConfigError(key, None, "a config file that defines this field", shown="no such field") from None
    return value


def integer(config: Any, key: str, low: int | None = None, high: int | None = None) -> int:
    """An integer in [low, high]; an open end is None."""
    value = field(config, key)
    wanted = "an integer" + _between(low, high)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(key, value, wanted)
    if (low is not None and value < low) or (high is not None and value > high):
        raise ConfigError(key, value, wanted)
    return value


def positive_int(config: Any, key: str) -> int:
    """An integer of at least 1."""
    return integer(config, key, low=1)


def non_negative_int(config: Any, key: str) -> int:
    """An integer of at least 0."""
    return integer(config, key, low=0)


def in_range(
    config: Any,
    key: str,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    low_open: bool = False,
    high_open: bool = False,
) -> float:
    """A finite number in [low, high]; ``low_open`` and ``high_open`` leave the end itself out."""
    value = field(config, key)
    brackets = ("(" if low_open or low == -math.inf else "["), (")" if high_open or high == math.inf else "]")
    wanted = f"a number in {brackets[0]}{low:g}, {high:g}{brackets[1]}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(key, value, wanted)
    if value < low or value > high or (low_open and value == low) or (high_open and value == high):
        raise ConfigError(key, value, wanted)
    return value


def positive(config: Any, key: str) -> float:
    """A finite number above 0."""
    return in_range(config, key, low=0.0, low_open=True)


def one_of(config: Any, key: str, allowed: Iterable[Any]) -> Any:
    """One of the listed values; a close match is suggested for a misspelt name."""
    value = field(config, key)
    options = sorted(allowed, key=str)
    # True == 1 in Python, so the type is compared too.
    if not any(type(value) is type(option) and value == option for option in options):
        raise ConfigError(key, value, "one of " + ", ".join(map(str, options)) + suggestion(value, options))
    return value


def divides(config: Any, key: str, number: int, what: str = "") -> int:
    """A positive integer that divides ``number`` (which is ``what``)."""
    value = positive_int(config, key)
    if number % value:
        raise ConfigError(key, value, f"a divisor of {number}" + (f" ({what})" if what else ""))
    return value


def multiple_of(config: Any, key: str, number: int, what: str = "") -> int:
    """A positive integer that is a multiple of ``number`` (which is ``what``)."""
    value = positive_int(config, key)
    if value % number:
        raise ConfigError(key, value, f"a multiple of {number}" + (f" ({what})" if what else ""))
    return value


def tuple_of(config: Any, key: str, kind: type, *, low: float | None = None, min_length: int = 1) -> tuple[Any, ...]:
    """A tuple of at least ``min_length`` entries, all of one type and at least ``low``."""
    value = field(config, key)
    bound = "" if low is None else f" of at least {low:g}"
    wanted = f"a tuple of at least {min_length} {kind.__name__} values{bound}"
    kinds = (int, float) if kind is float else kind
    if not isinstance(value, tuple) or len(value) < min_length:
        raise ConfigError(key, value, wanted)
    for entry in value:
        if isinstance(entry, bool) is not (kind is bool) or not isinstance(entry, kinds):
            raise ConfigError(key, value, wanted)
        if low is not None and entry < low:
            raise ConfigError(key, value, wanted)
    return value


def _between(low: int | None, high: int | None) -> str:
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        return f" of at least {low}"
    return "" if high is None else f" of at most {high}"


def mesh(config: Any) -> Mesh:
    """The mesh of a run, from ``config.mesh.fsdp``."""
    divides(config, "mesh.fsdp", jax.device_count(), "the number of devices")
    return sharding.make_mesh(config.mesh.fsdp)


def batch(config: Any, key: str, mesh: Mesh | None = None) -> int:
    """A batch size that splits evenly over all devices."""
    return multiple_of(config, key, mesh.size if mesh else jax.device_count(), "the number of devices")
