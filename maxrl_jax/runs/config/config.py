"""Loading a config file with overrides, and the checks drivers make of it.

A config file is a Python file with ``get_config(variant="tiny") -> ConfigDict``. The command line and
`load` go through the same code, so a notebook, a sweep and a terminal get the same errors.
"""

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from maxrl_jax.runs.config.advantage_config import advantage as advantage
from maxrl_jax.runs.config.advantage_config import hyper_names as hyper_names
from maxrl_jax.runs.config.checks import ConfigError as ConfigError
from maxrl_jax.runs.config.checks import Words, suggestion
from maxrl_jax.runs.config.checks import divides as divides
from maxrl_jax.runs.config.checks import field as field
from maxrl_jax.runs.config.checks import in_range as in_range
from maxrl_jax.runs.config.checks import integer as integer
from maxrl_jax.runs.config.checks import multiple_of as multiple_of
from maxrl_jax.runs.config.checks import non_negative_int as non_negative_int
from maxrl_jax.runs.config.checks import one_of as one_of
from maxrl_jax.runs.config.checks import positive as positive
from maxrl_jax.runs.config.checks import positive_int as positive_int
from maxrl_jax.runs.config.checks import tuple_of as tuple_of

_TYPE_IN_WORDS = {
    int: "an integer, written without a point or an exponent",
    float: "a number",
    bool: "True or False",
    tuple: "a tuple such as (1, 2)",
    str: "a string",
}


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
    config = _read(spec)
    arguments = []
    for key, value in (overrides or {}).items():
        if not isinstance(value, str) and _type_of(config, key) is str:
            raise ConfigError(key, value, _TYPE_IN_WORDS[str])
        arguments.append(f"--config.{key}={value if isinstance(value, str) else repr(value)}")
    return override(config, arguments)


def override(config: Any, arguments: Sequence[str]) -> Any:
    """Applies ``--config.a.b=value`` arguments to a config in place and returns it locked.

    Raises:
        ConfigError: an unknown field (close matches are named) or a value of the wrong type.
    """
    from absl import flags
    from ml_collections import config_flags

    arguments = list(arguments)
    for argument in arguments:
        _existing(config, _key_of(argument))
    values = flags.FlagValues()
    config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=["", *arguments])
    # One at a time, so that an error is known to be about this field.
    for argument in arguments:
        key = _key_of(argument)
        before = field(config, key)
        try:
            leftover = values(["", argument])[1:]
        except (flags.Error, TypeError, ValueError, SyntaxError):
            raise ConfigError(key, _value_of(argument), _allowed_type(before)) from None
        if leftover:
            raise ConfigError("command line", leftover[0], "--config.FIELD=VALUE")
    return config.lock()


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
                    raise ConfigError(f"--{name}", Words("nothing"), f"--{name}=VALUE")
                argument = f"--{name}={rest.pop(0)}"
            if name == "config":
                spec = argument.partition("=")[2]
            else:
                overrides.append("--" + argument.lstrip("-"))
        else:
            others.append(argument)
    return spec, overrides, others


def to_dict(config: Any) -> dict[str, Any]:
    """The config as plain nested dicts of JSON values; tuples become lists, as they read back from a file."""
    plain = config.to_dict() if hasattr(config, "to_dict") else config
    return {key: _plain(value) for key, value in plain.items()}


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts to ``{"a.b": value}``."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    return value


def _read(spec: str) -> Any:
    """Runs ``get_config`` of a config file."""
    path, _, variant = spec.partition(":")
    module = _module(path, spec)
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


def _module(path: str, spec: str) -> ModuleType:
    """Imports a config file by its path; the project's root is importable from it."""
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


def _key_of(argument: str) -> str:
    name = argument.lstrip("-").partition("=")[0]
    return name.removeprefix("noconfig.").removeprefix("config.")


def _value_of(argument: str) -> str:
    return argument.partition("=")[2]


def _existing(config: Any, key: str) -> Any:
    """The value at a dotted key; ConfigError with close matches when there is none."""
    value = config
    for depth, name in enumerate(key.split(".")):
        if not hasattr(value, "keys") or name not in value:
            known = list(flatten(config.to_dict()))
            above = ".".join(key.split(".")[:depth])
            close = suggestion(key, known) or suggestion(name, [k.split(".")[-1] for k in known])
            inside = sorted(value.keys()) if hasattr(value, "keys") else []
            allowed = f"a field of {above or 'the config'}" + (f" ({', '.join(inside)})" if inside else "")
            raise ConfigError(key, Words("an unknown field"), allowed + close)
        value = value[name]
    if hasattr(value, "keys"):
        raise ConfigError(key, Words("a group of fields"), "one of its fields: " + ", ".join(sorted(value.keys())))
    return value


def _type_of(config: Any, key: str) -> type:
    """The type a field takes: object, which is anything, for one that may be None, whatever it holds now."""
    _existing(config, key)
    above, _, name = key.rpartition(".")
    return (field(config, above) if above else config).get_type(name)


def _allowed_type(before: Any) -> str:
    words = _TYPE_IN_WORDS.get(type(before), "a value of the same type")
    return f"{words} (now {before!r})"


if __name__ == "__main__":  # python -m maxrl_jax.runs.config.config FILE.py:VARIANT shows every field
    print(load(sys.argv[1]))
