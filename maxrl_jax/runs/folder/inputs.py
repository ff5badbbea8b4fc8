"""Inputs of a run that its config names: a base model, files of problems, a judge; inputs.json keeps their digests."""

import ast
import contextlib
import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from etils import epath

from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config.fields import flatten
from maxrl_jax.runs.folder import checkpoint, digest, metric_writer
from maxrl_jax.runs.folder.stopping import CheckpointError

NAME = "inputs.json"
PATHS = ("model.init_from", "data.train", "data.eval")
"""Fields that name a file or the folder of a model."""
START = "checkpoint.init_from"
CODE = ("task", "verifier.grade", "rl.rollouts", "data.train_layout", "data.eval_layout")
"""Fields that may name a user's own code that draws or judges answers or reads problems, my.module:name."""

Digests = dict[str, dict[str, str]]


def digests(settings: Mapping[str, Any]) -> Digests:
    """Digests of the inputs that a config names, by field and then by file name.

    Args:
        settings: a config as plain values.
    """
    fields = flatten(settings)
    texts = {key: value for key, value in fields.items() if isinstance(value, str) and value}
    found = {key: digest.files(texts[key]) for key in PATHS if key in texts and "://" not in texts[key]}
    with contextlib.suppress(CheckpointError):
        start, step = checkpoint.given(texts.get(START, ""))
        found[START] = digest.files(start / str(step) / "meta/metadata")  # it holds a checksum of each leaf
    found |= {key: _module(texts[key]) for key in CODE if re.fullmatch(r"[\w.]+:\w+", texts.get(key, ""))}
    return {key: files for key, files in found.items() if files}


def check(folder: str | os.PathLike, now: Digests) -> None:
    """Compares a run's inputs with those it was started with; a folder that does not tell passes.

    Raises:
        ConfigError: a file has changed; it is named.
    """
    path = epath.Path(folder) / NAME
    try:
        before = json.loads(path.read_text()) if path.exists() else {}
    except ValueError:
        raise ConfigError("--workdir", os.fspath(folder), f"a folder whose {NAME} is readable") from None
    for key in sorted(before.keys() & now.keys()):
        for name in sorted({*before[key], *now[key]}):
            was, value = before[key].get(name, "absent"), now[key].get(name, "absent")
            if was != value:
                allowed = f"the one with which this --workdir was started ({was}), or another --workdir"
                raise ConfigError(key, None, allowed, shown=f"another {name} ({value})")


def write(folder: epath.Path, now: Digests) -> None:
    """Keeps the digests with the run."""
    metric_writer.write_whole(folder / NAME, json.dumps(now, indent=2) + "\n")


def _module(name: str) -> dict[str, str]:
    """Digest of a module's program without its comments; {} where it is not found as a Python file."""
    try:
        found = importlib.util.find_spec(name.partition(":")[0])
        assert found is not None and found.origin is not None
        with open(found.origin, "rb") as source:
            program = ast.dump(ast.parse(source.read()))
    except Exception:  # of a user's package, which the search imports
        return {}
    return {os.path.basename(found.origin): hashlib.sha256(program.encode()).hexdigest()[:16]}
