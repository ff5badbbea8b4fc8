"""The code of Grain's worker processes: row i of a run's stream, an image that is a function of i alone.

Position p of the run lies in epoch p // n and is record ``order(epoch)[p % n]``: every record once an epoch, in a new
order each time. A batch may cross the end of an epoch, so none is smaller. No worker process touches an accelerator.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from maxrl_jax.vision.imagenet2012 import augmentation, jpeg, tf_example
from maxrl_jax.vision.imagenet2012.files import Shard

_FOREVER = 1 << 40


class _Rows:
    """Rows of one host's part of every batch: element i is row i % rows of batch ``first_step + i // rows``."""

    def __init__(self, shards: Sequence[Shard], image_size: int, batch_size: int, first_row: int, rows: int):
        from grain import sources

        self._shards = shards
        files: Any = list(shards)
        self._records: Any = sources.ArrayRecordDataSource(files)
        self._image_size = image_size
        self._batch_size, self._first_row, self._rows = batch_size, first_row, rows

    def _position(self, step: int, row: int) -> int:
        return step * self._batch_size + self._first_row + row

    def _read(self, record: int) -> tuple[np.ndarray, int] | str:
        """Pixels and label of a record, or one line that says why it cannot be read.

        If a worker raised, every process in between would print a traceback; the reader raises instead.
        """
        name = "without a name"
        try:
            features = tf_example.decode(self._records[record])
            name = bytes(features["file_name"][0]).decode()
            return jpeg.decode(bytes(features["image"][0])), int(features["label"][0])
        except (ValueError, KeyError, IndexError, TypeError, RuntimeError) as error:
            what = " ".join(f"{type(error).__name__} {error}".split()) if not isinstance(error, ValueError) else error
            return f"broken image: record {record} ({name}) of {self._shard_of(record)}: {what}"

    def _shard_of(self, record: int) -> str:
        ends = itertools.accumulate(shard.examples_in_shard for shard in self._shards)
        return next(shard.filename for shard, end in zip(self._shards, ends, strict=True) if record < end)


class TrainingRows(_Rows):
    """Shuffled, augmented, without an end."""

    def __init__(self, *args: Any, seed: int, start_step: int):
        super().__init__(*args)
        self._seed, self._start_step = seed, start_step

    def __len__(self) -> int:
        return _FOREVER * self._rows

    def __getitem__(self, index: Any) -> dict[str, Any] | str:
        step, row = divmod(index.__index__(), self._rows)
        position = self._position(self._start_step + step, row)
        epoch, rank = divmod(position, len(self._records))
        read = self._read(int(epoch_order(self._seed, epoch, len(self._records))[rank]))
        if isinstance(read, str):
            return read
        image, label = read
        noise = augmentation.uniforms(self._seed, position)
        return {"image": augmentation.training_view(image, self._image_size, noise), "label": np.int32(label)}


class ValidationRows(_Rows):
    """In the order of the files, once; the last batch is filled up with black images whose mask is False."""

    def __init__(self, *args: Any, eval_crop: bool):
        super().__init__(*args)
        self._eval_crop = eval_crop

    def __len__(self) -> int:
        return -(-len(self._records) // self._batch_size) * self._rows

    def __getitem__(self, index: Any) -> dict[str, Any] | str:
        record = self._position(*divmod(index.__index__(), self._rows))
        size = self._image_size
        if record >= len(self._records):
            return {"image": np.zeros((size, size, 3), np.uint8), "label": np.int32(0), "mask": np.False_}
        read = self._read(record)
        if isinstance(read, str):
            return read
        image, label = read
        view = augmentation.validation_view(image, size, self._eval_crop)
        return {"image": view, "label": np.int32(label), "mask": np.True_}


def collate(rows: Sequence[dict[str, Any] | str]) -> dict[str, Any] | str:
    """A batch of rows, or the first complaint among them."""
    for row in rows:
        if isinstance(row, str):
            return row
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}  # type: ignore[index, union-attr]


@functools.lru_cache(maxsize=2)  # a batch meets two epochs at most
def epoch_order(seed: int, epoch: int, num_records: int) -> np.ndarray:
    """A permutation of the records, int32 [num_records], a function of (seed, epoch).

    It sorts raw random words, which stay the same in every version of numpy.
    """
    # Word 2 of the counter keeps these words apart from those of the augmentation.
    words = np.random.Philox(key=seed, counter=[0, epoch, 1, 0]).random_raw(num_records)
    return np.argsort(words, kind="stable").astype(np.int32)
