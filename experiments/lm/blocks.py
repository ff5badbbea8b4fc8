"""The blocks of an evaluation, kept as they are drawn: an evaluation that was killed goes on after the last."""

from __future__ import annotations

import hashlib
import io
import json
import time
from typing import Any

import jax
import numpy as np

from maxrl_jax.runs.config import fields
from maxrl_jax.runs.folder import digest, inputs, metric_writer
from maxrl_jax.runs.folder.run import Run

FOLDER = "evaluating"
"""In a run's folder: the blocks of the evaluation that is under way."""

SECONDS = 1.0
"""A block that is drawn in less is not written to a file."""


class Blocks(dict[int, dict[str, np.ndarray]]):
    """The blocks of an evaluation that are drawn, in files of the run's folder: a kill within it costs one block.

    Files have the name of a digest of all that the blocks depend on, and of the first prompt. Those of another
    evaluation are removed.

    Args:
        run: the open run.
        name: of the evaluation.
        params: of the policy.
    """

    def __init__(self, run: Run, name: str, params: Any):
        super().__init__()
        given = run.path / inputs.NAME
        sums = jax.device_get(digest.device_checksums(jax.tree.leaves(params))[0]).tolist()
        parts = json.dumps([name, fields.to_dict(run.config), given.read_text() if given.exists() else "", sums])
        self._folder, self._digest = run.path / FOLDER, hashlib.sha256(parts.encode()).hexdigest()[:16]
        for file in self._folder.iterdir() if self._folder.exists() else ():
            if file.name.startswith(self._digest):
                with np.load(io.BytesIO(file.read_bytes())) as arrays:
                    super().__setitem__(int(file.stem.split("-")[1]), dict(arrays))
            else:
                file.unlink()
        self._began = time.monotonic()

    def __setitem__(self, first: int, found: dict[str, np.ndarray]) -> None:
        """Keeps a block, in a file where it took `SECONDS`."""
        super().__setitem__(first, found)
        if time.monotonic() - self._began >= SECONDS:
            self._folder.mkdir(exist_ok=True)
            content = io.BytesIO()
            np.savez(content, allow_pickle=False, **found)
            metric_writer.write_whole(self._folder / f"{self._digest}-{first}.npz", content.getvalue())
        self._began = time.monotonic()
