"""Paths that a user gives, in flags and in configs, and the folders of runs, on a file system or in a bucket."""

import os

from etils import epath

from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config.override import expanded


def given(flag: str, text: str) -> str:
    """The path a user wrote for a flag or field, with ``~`` and ``$VARIABLES`` replaced.

    Raises:
        ConfigError: a variable in it is not set, or it is empty.
    """
    if not text:
        raise ConfigError(flag, None, "a path", shown="nothing")
    return expanded(flag, text)


def folder(flag: str, text: str) -> str:
    """`given`, for a folder that is there or can be made.

    Raises:
        ConfigError: see `given`; or it is a file.
    """
    path = given(flag, text)
    if os.path.exists(path) and not os.path.isdir(path):
        raise ConfigError(flag, path, "a folder, not a file")
    return path


def absolute(path: str | os.PathLike) -> epath.Path:
    """An absolute path of the file system (orbax takes no other), or a bucket's path unchanged."""
    text = os.fspath(path)
    return epath.Path(text if "://" in text else os.path.abspath(text))


def make_writable(workdir: str | os.PathLike) -> None:
    """Makes a folder, if absent, and tries to write in it. Several processes may do so at once.

    Raises:
        ConfigError: it cannot be made or written, or its name would be read as a pattern.
    """
    path = absolute(workdir)
    if any(sign in os.fspath(path) for sign in "*?["):
        allowed = "a path without *, ? and [, which orbax takes for a pattern and then loses what it saves"
        raise ConfigError("--workdir", os.fspath(path), allowed)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".writable-{os.uname().nodename}-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            "--workdir", os.fspath(path), f"a folder that can be written ({error.strerror or error})"
        ) from None
