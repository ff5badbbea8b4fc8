"""Which lines of metrics.jsonl were handed on, known and not guessed, through kills and resumed steps.

Two things are kept in ``wandb_sent.json``: how many lines of the file were handed on, and the names of those handed on
that are ahead of the file: written and sent before a kill, cut off on resume because no checkpoint followed them. Steps
are replayed exactly, so lines come again in their order, but those under perf/, which a clock decides, may not.
"""

import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from etils import epath

from maxrl_jax.runs.folder import metric_writer


class SentLines:
    """The lines handed on of one run folder, for the one process that writes them."""

    def __init__(self, folder: epath.Path):
        self._path = folder / "wandb_sent.json"
        self._slow = "://" in os.fspath(folder)
        known = json.loads(self._path.read_text()) if self._path.exists() else {"lines": 0, "ahead": []}
        self._lines: int = known["lines"]
        self._ahead: list[str] = known["ahead"]

    def resume(self, kept: Sequence[str], dropped: Sequence[str]) -> list[str]:
        """Takes in that the file was cut; returns the lines in it that were never handed on."""
        again = [_name(record.pop("step"), record) for record in map(json.loads, dropped)]
        sent = again[: max(0, self._lines - len(kept))]
        # What was ahead of the file before this cut comes after what the cut puts ahead of it.
        self._ahead = sent + self._ahead
        self._lines = min(self._lines, len(kept))
        return list(kept[self._lines :])

    def already(self, step: int, values: Mapping[str, Any]) -> bool:
        """Whether the next line of the file was handed on by an earlier launch."""
        if not self._ahead:
            return False
        name = _name(step, values)
        if name in self._ahead:
            del self._ahead[: self._ahead.index(name) + 1]
            return True
        if not all(key.startswith("perf/") for key in values):
            self._ahead = []  # the replay is over, or is another one
        return False

    def add(self) -> None:
        """Counts a line as handed on."""
        self._lines += 1

    def keep(self, now: bool = False) -> None:
        """Writes what is known; on a bucket only ``now``, at checkpoints."""
        if now or not self._slow:
            metric_writer.write_whole(self._path, json.dumps({"lines": self._lines, "ahead": self._ahead}) + "\n")


def _name(step: int, names: Iterable[str]) -> str:
    """A short name of the line with these metrics at this step."""
    return f"{step}:{zlib.crc32('|'.join(sorted(names)).encode()):08x}"
