"""The environment of a run: versions, devices, git state, command; written to environment.json at every launch."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
from typing import Any

_PACKAGES = (
    "maxrl-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "ml_collections", "grain",
    "tensorflow-datasets", "wandb",
)  # fmt: skip


def describe() -> dict[str, Any]:
    """The present process's environment as JSON values. Starts the JAX backend."""
    import jax

    devices = jax.devices()
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
        "devices": {
            "platform": devices[0].platform,
            "kind": devices[0].device_kind,
            "count": len(devices),
            "processes": jax.process_count(),
        },
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "git": git_state(),
    }


def git_state() -> dict[str, Any]:
    """Commit, branch and changed files of the checkout the package runs from; empty outside a checkout."""
    root = pathlib.Path(__file__).resolve().parents[3]
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return {}
    changed = (_git(root, "status", "--porcelain") or "").splitlines()
    return {
        "commit": commit,
        "branch": _git(root, "rev-parse", "--abbrev-ref", "HEAD"),
        "changed_files": [line[3:] for line in changed[:100]],
    }


def _git(root: pathlib.Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.rstrip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
