"""The part of a driver's --help that its config file writes: the recipe, the variants, and every field."""

import inspect
from typing import Any

from maxrl_jax.runs.config import comments, fields, load

_WIDTH = 44
"""Columns of "--config.FIELD=VALUE" before its comment."""


def describe(spec: str) -> str:
    """The text of a config file, ``FILE.py`` or ``FILE.py:VARIANT``: docstring, then each field, value and comment.

    Raises:
        ConfigError: there is no such config.
    """
    module = load.module_of(spec)
    config = load.read(spec)
    said = comments.of_module(module)
    recipe = inspect.cleandoc(module.__doc__ or "")
    lines = [_line(key, value, said.get(key, "")) for key, value in fields.flatten(config.to_dict()).items()]
    return f"{recipe}\n\nfields of {spec}:\n" + "\n".join(lines)


def _line(key: str, value: Any, comment: str) -> str:
    """One field as it is set on the command line, its comment beside it, or under it where the value is long."""
    setting = f"  --config.{key}={value}"
    if not comment:
        return setting
    if len(setting) <= _WIDTH:
        return f"{setting:{_WIDTH}}  {comment}"
    return f"{setting}\n{'':{_WIDTH}}  {comment}"
