"""ImageNet (ILSVRC 2012) from the record files of tensorflow-datasets, read by Grain without TensorFlow.

    batches = train_batches(folder, batch_size=256, image_size=224, seed=0, start_step=step, num_workers=16)
    for batch in batches:                                       # {"image": uint8 [b, 224, 224, 3], "label": int32 [b]}
        ...
    batches.close()

Batch s is a function of (folder, batch_size, image_size, seed, s), bitwise: it does not depend on ``start_step``,
``num_workers`` or ``shard_count``, so the step is the only data position a run needs. Images are sent to the device as
bytes and normalised there.
"""

import os
import weakref
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, UInt8

from maxrl_jax.vision.imagenet2012 import files as imagenet_files
from maxrl_jax.vision.imagenet2012 import rows as imagenet_rows
from maxrl_jax.vision.images import BrokenImage

NUM_TRAIN, NUM_VALIDATION, NUM_CLASSES = 1_281_167, 50_000, 1_000

# Of the training images' channels, in units of the largest value.
MEAN, STANDARD_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_MAX_THREADS = 16


class Batches(Iterator[dict[str, np.ndarray]]):
    """An iterator over batches that owns worker processes; close it, or use it in a ``with`` statement."""

    def __init__(self, rows: Any, rows_per_batch: int, num_workers: int):
        import grain

        # From here on an element is a whole batch and buffers are counted in batches, so they are kept short.
        threads = 1 if num_workers else min(os.cpu_count() or 1, _MAX_THREADS)
        dataset = grain.MapDataset.source(rows).batch(rows_per_batch, batch_fn=imagenet_rows.collate)
        dataset = dataset.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads))
        if num_workers:
            _mark_flags_as_parsed()
            dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=num_workers))
        self._open: list[Any] = [iter(dataset)]
        # Closes a forgotten iterator too, at the latest when Python exits: Grain's own clean-up would come too late.
        self._finalizer = weakref.finalize(self, _close, self._open)

    def __next__(self) -> dict[str, np.ndarray]:
        """The next batch; raises BrokenImage if one of its images cannot be read."""
        if not self._open:
            raise StopIteration
        batch = next(self._open[0])
        if isinstance(batch, str):
            self.close()
            raise BrokenImage(batch)
        return batch

    def close(self) -> None:
        """Ends the worker processes; may be called twice."""
        self._finalizer()

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def train_batches(
    data_dir: str | os.PathLike[str],
    batch_size: int,
    image_size: int = 224,
    seed: int = 0,
    start_step: int = 0,
    num_workers: int = 0,
    shard_index: int = 0,
    shard_count: int = 1,
) -> Batches:
    """Endless training batches: shuffled each epoch, random resized crops (scale 0.08-1), half of them flipped.

    Args:
        data_dir: prepared folder; any path `etils.epath` knows and ArrayRecord can open.
        batch_size: the global batch, over all hosts.
        image_size: pixels a side.
        seed: of order and augmentation, in [0, 2^64).
        start_step: the first batch to give.
        num_workers: worker processes; 0 reads in threads of this process. Does not change the batches.
        shard_index: which of the hosts this is (`jax.process_index()`).
        shard_count: how many there are (`jax.process_count()`).

    Returns:
        An iterator of {"image": uint8 [b, H, W, 3], "label": int32 [b]}, b = batch_size / shard_count.

    Raises:
        ValueError: a wrong folder (`check`) or argument. While iterating: BrokenImage.
    """
    rows = _rows_per_host(batch_size, shard_index, shard_count)
    shards = imagenet_files.find(data_dir)["train"]
    source = imagenet_rows.TrainingRows(
        shards, image_size, batch_size, shard_index * rows, rows, seed=seed, start_step=start_step
    )
    return Batches(source, rows, num_workers)


def validation_batches(
    data_dir: str | os.PathLike[str],
    batch_size: int,
    image_size: int = 224,
    eval_crop: bool = False,
    shard_index: int = 0,
    shard_count: int = 1,
    num_workers: int = 0,
) -> Batches:
    """The validation images once, in order, each host the same number of batches.

    Args:
        data_dir: prepared folder.
        batch_size: the global batch, over all hosts.
        image_size: pixels a side.
        eval_crop: False resizes the whole image to a square; True resizes the shorter side to 256/224 of image_size
            and cuts the middle.
        shard_index: which of the hosts this is.
        shard_count: how many there are.
        num_workers: worker processes; 0 reads in threads of this process.

    Returns:
        An iterator of {"image", "label", "mask": bool [b]}; rows whose mask is False fill up the last batch.

    Raises:
        ValueError: as `train_batches`.
    """
    rows = _rows_per_host(batch_size, shard_index, shard_count)
    shards = imagenet_files.find(data_dir)["validation"]
    source = imagenet_rows.ValidationRows(shards, image_size, batch_size, shard_index * rows, rows, eval_crop=eval_crop)
    return Batches(source, rows, num_workers)


def normalise(image: UInt8[Array, "*batch H W 3"]) -> Float32[Array, "*batch H W 3"]:
    """Bytes to zero mean and unit variance: (x / 255 - mean) / standard deviation, by channel, in float32."""
    scale = 1.0 / (255.0 * np.array(STANDARD_DEVIATION))
    shift = np.array(MEAN) / np.array(STANDARD_DEVIATION)
    return image.astype(jnp.float32) * jnp.asarray(scale, jnp.float32) - jnp.asarray(shift, jnp.float32)


def check(data_dir: str | os.PathLike[str]) -> None:
    """Checks a prepared folder without opening its record files.

    Raises:
        ValueError: one line that names what is missing: the folder, its metadata, a split, or files of it.
    """
    imagenet_files.find(data_dir)


def num_examples(data_dir: str | os.PathLike[str]) -> dict[str, int]:
    """Records of each split, {"train": ..., "validation": ...}: NUM_TRAIN and NUM_VALIDATION for the whole data set.

    Raises:
        ValueError: as `check`.
    """
    return {split: sum(s.examples_in_shard for s in shards) for split, shards in imagenet_files.find(data_dir).items()}


def _rows_per_host(batch_size: int, shard_index: int, shard_count: int) -> int:
    if shard_count < 1 or batch_size < 1 or batch_size % shard_count:
        raise ValueError(f"batch_size: got {batch_size}, allowed: multiples of the {shard_count} hosts")
    if not 0 <= shard_index < shard_count:
        raise ValueError(f"shard_index: got {shard_index}, allowed: 0 to {shard_count - 1}")
    return batch_size // shard_count


def _close(iterators: list[Any]) -> None:
    while iterators:
        iterators.pop().close()


def _mark_flags_as_parsed() -> None:
    """Lets Grain read its own absl flags, at their defaults; its worker processes fail to start otherwise.

    Only `absl.app.run` parses absl's global flags, and neither the drivers nor a notebook start through it.
    """
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
