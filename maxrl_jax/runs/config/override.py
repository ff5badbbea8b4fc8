"""The ``--config`` and ``--config.FIELD=VALUE`` arguments of a command line: told from the others, and applied."""

import os
from collections.abc import Sequence
from typing import Any

from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config import fields

TYPE_IN_WORDS = {
    int: "an integer, written without a point or an exponent",
    float: "a number",
    bool: "True or False",
    tuple: "a tuple such as (1, 2)",
    str: "a string",
}


def split_arguments(arguments: Sequence[str]) -> tuple[str | None, list[str], list[str]]:
    """Splits a command line into (config spec, --config.a.b=value arguments, everything else).

    ``--config X`` and ``--config.a X`` are accepted beside ``--config=X``.

    Raises:
        ConfigError: a flag without its value.
    """
    spec, overrides, others = None, [], []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, _ = argument.lstrip("-").partition("=")
        is_flag = argument.startswith("-")
        if is_flag and (name == "config" or name.startswith(("config.", "noconfig."))):
            if not equals and not name.startswith("noconfig."):
                if not rest or rest[0].startswith("--"):
                    raise ConfigError(f"--{name}", None, f"--{name}=VALUE", shown="nothing")
                argument = f"--{name}={rest.pop(0)}"
            if name == "config":
                spec = argument.partition("=")[2]
            else:
                overrides.append("--" + argument.lstrip("-"))
        else:
            others.append(argument)
    return spec, overrides, others


def override(config: Any, arguments: Sequence[str]) -> Any:
    """Applies ``--config.a.b=value`` arguments to a config in place and returns it locked.

    Of several for one field the last one wins; all must be legal. In every string of the config that begins like a
    path with ``~`` or a ``$VARIABLE`` these are replaced.

    Raises:
        ConfigError: an unknown field (close matches are named) or a value of the wrong type.
    """
    for argument in arguments:
        fields.existing(config, key_of(argument))
    for argument in arguments:
        _apply(config, argument)
    for key, value in fields.flatten(config.to_dict()).items():
        if isinstance(value, str) and value.startswith(("~", "$")):
            config.update_from_flattened_dict({key: expanded(key, value)})
    return config.lock()


def expanded(key: str, path: str) -> str:
    """A path with ``~`` and ``$VARIABLES`` replaced.

    Raises:
        ConfigError: about ``key``: a variable is not set, or there is no such user.
    """
    whole = os.path.expandvars(os.path.expanduser(path))
    if "$" in whole:
        raise ConfigError(key, path, "a path whose variables are set")
    if whole.startswith("~"):
        raise ConfigError(key, path, "a path below the folder of a user there is")
    return whole


def key_of(argument: str) -> str:
    """The dotted field of a ``--config.FIELD=VALUE`` (or ``--noconfig.FIELD``) argument."""
    name = argument.lstrip("-").partition("=")[0]
    return name.removeprefix("noconfig.").removeprefix("config.")


def _apply(config: Any, argument: str) -> None:
    """Sets one field. Each argument gets flags of its own: one flag given two tuples would join them."""
    from absl import flags
    from ml_collections import config_flags

    key = key_of(argument)
    before = fields.existing(config, key)
    values = flags.FlagValues()
    config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=["", argument])
    try:
        leftover = values(["", argument])[1:]
    except (flags.Error, TypeError, ValueError, SyntaxError):
        words = TYPE_IN_WORDS.get(type(before), "a value of the same type")
        raise ConfigError(key, argument.partition("=")[2], f"{words} (now {before!r})") from None
    if leftover:
        raise ConfigError("command line", leftover[0], "--config.FIELD=VALUE")
