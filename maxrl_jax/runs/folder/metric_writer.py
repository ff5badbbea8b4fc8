"""metrics.jsonl: one JSON object a line, append-only, repaired and cut on resume, readable on any store.

On a file system lines are appended to ``metrics.jsonl``. An object store cannot append, so there numbered
segments ``metrics-000000.jsonl``, ... are put, one at every checkpoint and at least every `SEGMENT_SECONDS`;
`read_lines` reads either as one.
"""

import json
import math
import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

NAME = "metrics.jsonl"
_SEGMENT = "metrics-{:06d}.jsonl"
_SEGMENT_NAME = re.compile(r"metrics-[0-9]+\.jsonl")
SEGMENT_SECONDS = 30.0


class LineFile:
    """The metrics lines of a run folder, for the one process that writes them.

    Attributes:
        num_lines: lines written so far, those of earlier launches included.
    """

    def __init__(self, folder: epath.Path):
        """Opens the folder's lines; a torn last line, left by a killed process, is cut off."""
        self._folder = folder
        self._file = _open_append(folder / NAME) if _can_append(folder) else None
        self._waiting: list[str] = []
        self._next_segment = 0
        self._last_put = time.monotonic()
        self._keep(read_lines(folder))

    def append(self, lines: Sequence[str]) -> None:
        """Writes whole lines (without their line ends) in one call."""
        if not lines:
            return
        self.num_lines += len(lines)
        if self._file is not None:
            data = _text(lines).encode()
            try:
                while data:
                    data = data[os.write(self._file, data) :]
            except OSError as error:  # a full disk: os.write does not know the file's name
                raise OSError(error.errno, error.strerror, os.fspath(self._folder / NAME)) from None
            return
        self._waiting.extend(lines)
        if time.monotonic() - self._last_put > SEGMENT_SECONDS:
            self._put()

    def cut(self, num_lines: int) -> list[str]:
        """Drops all but the first ``num_lines`` lines and returns what was dropped."""
        self._put()
        lines = read_lines(self._folder)
        kept, dropped = lines[:num_lines], lines[num_lines:]
        if dropped:
            self._keep(kept)
        return dropped

    def sync(self) -> None:
        """Makes what was written survive a power cut."""
        if self._file is not None:
            os.fsync(self._file)
        self._put()

    def close(self) -> None:
        """Lets go of the file."""
        self._put()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _put(self) -> None:
        """Writes the waiting lines as the next segment, in one call."""
        if self._waiting:
            (self._folder / _SEGMENT.format(self._next_segment)).write_text(_text(self._waiting))
            self._next_segment += 1
            self._waiting = []
        self._last_put = time.monotonic()

    def _keep(self, lines: Sequence[str]) -> None:
        """Cuts the file after these lines, or puts them into the first segment and removes the others, last first."""
        self.num_lines = len(lines)
        if self._file is not None:
            os.ftruncate(self._file, len(_text(lines).encode()))
            return
        old = _segments(self._folder)
        (self._folder / _SEGMENT.format(0)).write_text(_text(lines))
        for path in reversed(old[1:]):
            path.unlink()
        self._next_segment = 1


def encode(step: int, values: Mapping[str, Any]) -> str:
    """One line: ``{"step": step, name: value, ...}``; arrays become lists, NaN and infinities become null."""
    return json.dumps({"step": int(step), **{name: _json_value(value) for name, value in values.items()}})


def read_lines(folder: str | os.PathLike) -> list[str]:
    """The complete lines of a run folder, in order; a torn last line is left out, no file means no lines."""
    folder = epath.Path(folder)
    paths = _segments(folder) or ([folder / NAME] if (folder / NAME).exists() else [])
    text = "".join(path.read_text() for path in paths)
    lines = text.split("\n")[:-1]  # what follows the last line end is torn, or empty
    while lines and not _is_object(lines[-1]):
        lines.pop()
    return lines


def read_metrics(folder: str | os.PathLike) -> list[dict[str, Any]]:
    """The records of a run folder, in order, torn last line left out."""
    return [json.loads(line) for line in read_lines(folder)]


def mean(value: Any) -> float:
    """A value read back as one number: the mean of a (nested) list, null (not finite) left out; NaN if none is left."""
    flat = [entry for entry in _flat(value) if entry is not None]
    return float(np.mean(flat)) if flat else math.nan


def write_whole(path: epath.Path, content: str | bytes) -> None:
    """Writes a file so that a reader finds the old content or the new, whenever the writer is killed."""
    beside = path.parent / f".{path.name}.new"
    beside.write_bytes(content.encode() if isinstance(content, str) else content)
    beside.replace(path)


def _flat(value: Any) -> list[Any]:
    return [entry for part in value for entry in _flat(part)] if isinstance(value, list) else [value]


def _text(lines: Sequence[str]) -> str:
    return "".join(line + "\n" for line in lines)


def _segments(folder: epath.Path) -> list[epath.Path]:
    """The segments there are, in order; not by glob, for which a folder's own brackets would be a pattern."""
    there = folder.iterdir() if folder.exists() else ()
    return sorted((path for path in there if _SEGMENT_NAME.fullmatch(path.name)), key=lambda path: path.name)


def _open_append(path: epath.Path) -> int:
    """A file descriptor that appends; the store is asked through its own path class whether it does."""
    path.open("ab").close()
    return os.open(os.fspath(path), os.O_RDWR | os.O_APPEND)


def _can_append(folder: epath.Path) -> bool:
    """Whether the store can append: a bucket cannot, a folder that has segments was found unable before."""
    if "://" in os.fspath(folder) or _segments(folder):
        return False
    try:
        os.close(_open_append(folder / NAME))
    except PermissionError:
        raise
    except (OSError, ValueError, NotImplementedError):
        return False
    return True


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _json_value(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | int | type(None)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _json_value(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(entry) for entry in value]
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        array = array.astype(np.float32)  # bfloat16 and the like
    return _json_value(array.tolist())
