"""The code of Grain's worker processes: row i of a run's stream, an image that is a function of i alone.

Position p of the run lies in epoch p // n and is record ``order(epoch)[p % n]``: every record once an epoch, in a new
order each time. A batch may cross the end of an epoch, so none is smaller. No worker process touches an accelerator.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from maxrl_jax.vision.imagenet2012 import augmentation, jpeg

Row = dict[str, Any] | str
"""A row's arrays, or one line that says why its image cannot be read.

If a worker raised, every process in between would print a traceback; the reader raises instead.
"""


class TrainingRows:
    """Rows of one host's part of every batch, shuffled and augmented, without an end.

    Element i is position ``first + i // rows * batch_size + i % rows`` of the run.
    """

    def __init__(self, records: Any, image_size: int, batch_size: int, first: int, rows: int, seed: int):
        self._records, self._size = records, image_size
        self._batch_size, self._first, self._rows, self._seed = batch_size, first, rows, seed

    def __len__(self) -> int:
        return 1 << 50

    def __getitem__(self, index: Any) -> Row:
        position = self._position(index)
        epoch, rank = divmod(position, len(self._records))
        record = int(epoch_order(self._seed, epoch, len(self._records))[rank])
        noise = augmentation.uniforms(self._seed, position)
        return self._read(record, lambda image: augmentation.training_view(image, self._size, noise))

    def _position(self, index: Any) -> int:
        batch, row = divmod(index.__index__(), self._rows)
        return self._first + batch * self._batch_size + row

    def _read(self, number: int, view: Any) -> Row:
        name = "without a name"
        try:
            record = self._records[number]
            name = record["file_name"].decode()
            return {"image": view(jpeg.decode(record["image"])), "label": np.int32(record["label"])}
        except (ValueError, RuntimeError) as error:
            split = self._records.dataset_info.splits[self._records.split]
            file = split.filepaths[int(np.searchsorted(np.cumsum(split.shard_lengths), number, side="right"))]
            return f"broken image: record {number} ({name}) of {file}: {' '.join(str(error).split())}"


class ValidationRows(TrainingRows):
    """In the order of the files, once; the last batch is filled up with black images whose mask is False."""

    def __init__(self, *args: Any, eval_crop: bool):
        super().__init__(*args, seed=0)
        self._eval_crop = eval_crop

    def __len__(self) -> int:
        return -(-len(self._records) // self._batch_size) * self._rows

    def __getitem__(self, index: Any) -> Row:
        number = self._position(index)
        if number >= len(self._records):
            return {"image": np.zeros((self._size, self._size, 3), np.uint8), "label": np.int32(0), "mask": np.False_}
        row = self._read(number, lambda image: augmentation.validation_view(image, self._size, self._eval_crop))
        return row if isinstance(row, str) else row | {"mask": np.True_}


def collate(rows: Sequence[Row]) -> Row:
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
