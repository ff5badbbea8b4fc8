"""Loading a config file, with fields set from Python.

A config file is a Python file with ``get_config(variant="tiny") -> ConfigDict``. The command line and
`load` go through the same code, so a notebook, a sweep and a terminal get the same errors.
"""

import importlib.util
import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from maxrl_jax.errors import ConfigError, suggestion
from maxrl_jax.runs.config import fields
from maxrl_jax.runs.config.override import TYPE_IN_WORDS, expanded, override


def load(spec: str, overrides: Mapping[str, Any] | None = None) -> Any:
    """Loads ``FILE.py:VARIANT`` and sets fields, with the types and errors of the command line.

    Args:
        spec: path of the config file, with an optional variant after a colon.
        overrides: dotted field -> value, such as ``{"rl.steps": 10}``.

    Returns:
        A locked `ml_collections.ConfigDict`.

    Raises:
        ConfigError: missing file, unknown variant, unknown field, or a value of the wrong type.

    Example:
        >>> load("configs/bandit.py:tiny", {"seed": 3}).seed
        3
    """
    config = read(spec)
    given = []
    for key, value in (overrides or {}).items():
        if not isinstance(value, str) and fields.type_of(config, key) is str:
            raise ConfigError(key, value, TYPE_IN_WORDS[str])
        given.append(f"--config.{key}={value if isinstance(value, str) else repr(value)}")
    return override(config, given)


def read(spec: str) -> Any:
    """The config of ``FILE.py:VARIANT``, not locked yet.

    Raises:
        ConfigError: missing file, unknown variant, or a file that makes no config.
    """
    module, variant = module_of(spec), spec.partition(":")[2]
    if not hasattr(module, "get_config"):
        raise ConfigError("--config", spec, "a Python file that defines get_config(variant)")
    try:
        config = module.get_config(*([variant] if variant else []))
    except ConfigError:
        raise
    except (ValueError, KeyError) as error:  # an unknown variant: the message lists those there are
        raise ConfigError("--config", spec, str(error)) from None
    if not hasattr(config, "to_dict"):
        raise ConfigError("--config", spec, "a file whose get_config returns an ml_collections ConfigDict")
    return config


def module_of(spec: str) -> ModuleType:
    """Imports the file of a spec by its path; the project's root is importable from it.

    Raises:
        ConfigError: it cannot be imported.
    """
    path = expanded("--config", spec.partition(":")[0])
    if not os.path.isfile(path):
        near = _files_beside(path)
        raise ConfigError("--config", spec, "the path of a config file" + suggestion(path, near))
    where = importlib.util.spec_from_file_location("maxrl_jax_config", path)
    if where is None or where.loader is None:
        raise ConfigError("--config", spec, "a Python file, FILE.py or FILE.py:VARIANT")
    module = importlib.util.module_from_spec(where)
    try:
        where.loader.exec_module(module)
    except SyntaxError as error:
        raise ConfigError("--config", spec, f"valid Python ({error.msg}, line {error.lineno})") from None
    return module


def _files_beside(path: str) -> list[str]:
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        return []
    return [os.path.join(os.path.dirname(path), name) for name in os.listdir(folder) if name.endswith(".py")]
