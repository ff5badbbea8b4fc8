"""Paths of run folders, on a file system or in a bucket."""

import os

from etils import epath

from maxrl_jax.runs.config.checks import ConfigError


def absolute(path: str | os.PathLike) -> epath.Path:
    """An absolute path of the file system (orbax takes no other), or a bucket's path unchanged."""
    text = os.fspath(path)
    return epath.Path(text if "://" in text else os.path.abspath(text))


def make_writable(workdir: str | os.PathLike) -> None:
    """Makes a folder, if absent, and tries to write in it. Several processes may do so at once.

    Raises:
        ConfigError: it cannot be made or written.
    """
    path = absolute(workdir)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".writable-{os.uname().nodename}-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            "--workdir", os.fspath(path), f"a folder that can be written ({error.strerror or error})"
        ) from None
