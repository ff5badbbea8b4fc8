"""Typed reading of the fields of a config.json; each error is one line that names the field."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")


def size(fields: Mapping[str, Any], key: str) -> int:
    """A positive integer."""
    value = _present(fields, key, "a positive integer")
    if type(value) is not int or value < 1:
        raise ValueError(f"{key}: got {_shown(value)}, allowed: a positive integer")
    return value


def number(fields: Mapping[str, Any], key: str) -> float:
    """A positive number."""
    value = _present(fields, key, "a positive number")
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise ValueError(f"{key}: got {_shown(value)}, allowed: a positive number")
    return float(value)


def optional(reader: Callable[[Mapping[str, Any], str], Value], fields: Mapping[str, Any], key: str) -> Value | None:
    """The field as the reader converts it; None where it is absent or null."""
    return None if fields.get(key) is None else reader(fields, key)


def boolean(fields: Mapping[str, Any], key: str) -> bool:
    """True or false."""
    value = _present(fields, key, "true or false")
    if type(value) is not bool:
        raise ValueError(f"{key}: got {_shown(value)}, allowed: true or false")
    return value


def one_of(fields: Mapping[str, Any], key: str, table: Mapping[str, Value]) -> Value:
    """The table's entry for the field's string."""
    value = _present(fields, key, ", ".join(table))
    if not isinstance(value, str) or value not in table:
        raise ValueError(f"{key}: got {_shown(value)}, allowed: {', '.join(table)}")
    return table[value]


def mapping(fields: Mapping[str, Any], key: str) -> dict[str, Any]:
    """An object; {} for null or an absent field."""
    value = fields.get(key)
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"{key}: got {_shown(value)}, allowed: an object or null")
    return value or {}


def _present(fields: Mapping[str, Any], key: str, allowed: str) -> Any:
    if key not in fields:
        raise ValueError(f"{key}: missing, allowed: {allowed}")
    return fields[key]


def _shown(value: Any) -> str:
    """As the file has it."""
    return json.dumps(value, default=repr)
