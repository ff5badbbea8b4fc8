"""Conditions for continuing a run folder: its lock, its progress, and the fields that changed."""

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config.fields import flatten
from maxrl_jax.runs.folder import metric_writer

FREE = ("wandb", "checkpoint", "log", "compilation_cache", "mesh")
"""Fields and groups that may change between launches: they change no result, or (mesh) its last digits only."""

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of a file system that has none


def changes(
    before: Mapping[str, Any], now: Mapping[str, Any], extend: Sequence[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """The fields that differ between two configs (as JSON values), each with (old, new).

    Raises:
        ConfigError: a field that cannot change did; all such fields are named.
    """
    old, new = flatten(before), flatten(now)
    changed = {key: (old.get(key), new.get(key)) for key in sorted({*old, *new}) if old.get(key) != new.get(key)}
    refused = {key: pair for key, pair in changed.items() if not _free(key) and not _may_grow(new, key, pair, extend)}
    if refused:
        key, (was, _) = next(iter(refused.items()))
        others = "; changed too: " + ", ".join(list(refused)[1:]) if len(refused) > 1 else ""
        schedule = _schedule(new, key)
        can_grow = " or more" if key in extend and not schedule else ""
        if key in extend and schedule:
            others = f"; more would change the learning rate of the steps done, which is a {schedule} over all{others}"
        allowed = f"{was!r}{can_grow}, with which this --workdir was started (or another --workdir){others}"
        raise ConfigError(key, new.get(key), allowed, shown=None if key in new else "no such field")
    return changed


def has_progress(path: epath.Path) -> bool:
    """True when the folder holds what a changed config must not overwrite: a checkpoint, or the end."""
    folder = path / "checkpoints"
    return (folder.exists() and any(entry.name.isdigit() for entry in folder.iterdir())) or finished(path)


def finished(path: str | os.PathLike) -> bool:
    """True when the run of a folder has written its last line."""
    records = metric_writer.read_metrics(path)
    return bool(records) and "final/params_sha256" in records[-1]


@contextlib.contextmanager
def lock(path: epath.Path) -> Iterator[None]:
    """Holds the folder for this process; released however the process ends. Not on object stores and file systems
    without locks.

    Raises:
        ConfigError: another process runs in the folder, or it cannot be locked.
    """
    if "://" in os.fspath(path) or os.name != "posix":
        yield
        return
    import fcntl

    with open(os.fspath(path / ".lock"), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError("--workdir", os.fspath(path), "a folder in which no other process runs") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise ConfigError("--workdir", os.fspath(path), f"a folder that can be locked ({error})") from None
        yield


def locked(path: epath.Path) -> bool:
    """Whether a process runs in the folder."""
    if not path.exists():
        return False
    try:
        with lock(path):
            return False
    except ConfigError:
        return True


def _may_grow(config: Mapping[str, Any], key: str, change: tuple[Any, Any], extend: Sequence[str]) -> bool:
    old, new = change
    grows = isinstance(old, int) and isinstance(new, int) and new >= old
    return key in extend and grows and not _schedule(config, key)


def _schedule(config: Mapping[str, Any], key: str) -> str:
    """The schedule by which the learning rate depends on this number of steps; "" where it does not.

    The phase of ``rl.steps`` has its schedule in ``rl.optimizer.schedule``.
    """
    name = config.get(f"{key.removesuffix('steps')}optimizer.schedule", "constant")
    return "" if name == "constant" else name


def _free(key: str) -> bool:
    return any(key == name or key.startswith(name + ".") for name in FREE)
