"""A user's own code by its name, ``my.module:function``, found when a run is configured."""

import importlib
from typing import Any

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
