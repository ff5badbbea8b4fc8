"""The fields of a config by dotted key: found, listed, typed, and as plain values."""

import functools
import json
import operator
from collections.abc import Mapping
from typing import Any

from maxrl_jax.errors import ConfigError, suggestion


def to_dict(config: Any) -> dict[str, Any]:
    """The config as plain nested dicts of JSON values; tuples become lists, as they read back from a file."""
    return json.loads(json.dumps(config.to_dict()))


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts to ``{"a.b": value}``."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def existing(config: Any, key: str) -> Any:
    """The value at a dotted key.

    Raises:
        ConfigError: there is none (close matches are named), or it is a group of fields.
    """
    value = config
    for depth, name in enumerate(key.split(".")):
        if not _is_group(value) or name not in value:
            raise _unknown(config, key, depth, value)
        value = value[name]
    if _is_group(value):
        allowed = "one of its fields: " + ", ".join(sorted(value.keys()))
        raise ConfigError(key, None, allowed, shown="a group of fields")
    return value


def type_of(config: Any, key: str) -> type:
    """The type a field takes: object, which is anything, for one that may be None, whatever it holds now."""
    existing(config, key)
    *above, name = key.split(".")
    return functools.reduce(operator.getitem, above, config).get_type(name)


def _unknown(config: Any, key: str, depth: int, value: Any) -> ConfigError:
    """The error for a key whose part number ``depth`` is not in ``value``."""
    known = list(flatten(config.to_dict()))
    names = key.split(".")
    above = ".".join(names[:depth])
    close = suggestion(key, known) or suggestion(names[depth], [k.split(".")[-1] for k in known])
    inside = sorted(value.keys()) if _is_group(value) else []
    allowed = f"a field of {above or 'the config'}" + (f" ({', '.join(inside)})" if inside else "")
    return ConfigError(key, None, allowed + close, shown="an unknown field")


def _is_group(value: Any) -> bool:
    return hasattr(value, "keys")
