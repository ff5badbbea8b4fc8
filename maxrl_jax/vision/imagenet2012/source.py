"""ImageNet (ILSVRC 2012) from the record files of tensorflow-datasets, read by Grain without TensorFlow.

    images = Files(request)
    for batch in images.host_batches(step):                     # {"image": uint8 [b, 224, 224, 3], "label": int32 [b]}

Batch s is a function of (folder, batch size, image size, seed, s), bitwise: it does not depend on the first step, the
number of worker processes or of hosts, so the step is the only data position a run needs. Images are sent to the device
as bytes and normalised there.
"""

from __future__ import annotations

import dataclasses
import os
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, UInt8

from maxrl_jax.errors import ConfigError
from maxrl_jax.vision.imagenet2012 import rows
from maxrl_jax.vision.images import Batch, BrokenImage, Images, Masked, Request, Source

NUM_CLASSES = 1_000

# Of the training images' channels, in units of the largest value.
MEAN, STANDARD_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_MAX_THREADS = 16


def normalise(image: UInt8[Array, "*batch H W 3"]) -> Float32[Array, "*batch H W 3"]:
    """Bytes to zero mean and unit variance: (x / 255 - mean) / standard deviation, by channel, in float32."""
    scale = 1.0 / (255.0 * np.array(STANDARD_DEVIATION))
    shift = np.array(MEAN) / np.array(STANDARD_DEVIATION)
    return image.astype(jnp.float32) * jnp.asarray(scale, jnp.float32) - jnp.asarray(shift, jnp.float32)


def num_examples(data_dir: str | os.PathLike[str]) -> dict[str, int]:
    """Images of each split of a prepared folder; its record files are not opened.

    Raises:
        ValueError: one line that names what is missing: the folder, its metadata, a split, or files of it.
    """
    return {name: split.num_examples for name, split in _builder(data_dir).info.splits.items()}


@dataclasses.dataclass(frozen=True)
class Files(Images):
    """The record files of data.dir, in any path `etils.epath` knows; each host reads its part of a batch.

    Training batches are endless: shuffled each epoch, random resized crops (scale 0.08-1), half of them flipped.
    Validation is every image once, in order; rows whose mask is False fill up the last batch. Iterating raises
    BrokenImage for an image that cannot be read; ``close()`` of an iterator ends its worker processes.

    Attributes:
        request: of the run.
    """

    request: Request

    @property
    def host_batches(self) -> Callable[[int], Iterator[Any]]:
        """``step -> iterator`` over this host's parts of the batches from that step on."""
        size = self.request.batch_size
        return lambda step: self._read("train", size, rows.TrainingRows, step * size, seed=self.request.seed)

    def training_batch(self, step: jax.Array, host_batch: Any) -> Batch:
        """The bytes, normalised."""
        return normalise(host_batch["image"]), host_batch["label"]

    def validation_batches(self, size: int) -> Iterator[Any]:
        """This host's parts of the validation batches."""
        return self._read("validation", size, rows.ValidationRows, eval_crop=self.request.data.eval_crop)

    def validation_batch(self, host_batch: Any) -> Masked:
        """The bytes, normalised."""
        return normalise(host_batch["image"]), host_batch["label"], host_batch["mask"]

    def _read(self, split: str, size: int, make: Any, first: int = 0, **options: Any) -> Iterator[Any]:
        import tensorflow_datasets as tfds

        data, request = self.request.data, self.request
        count = size // request.shard_count
        records = _builder(data.dir).as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
        source = make(records, data.image_size, size, first + request.shard_index * count, count, **options)
        return _Batches(source, count, data.num_workers)


def _check(data: Any) -> None:
    try:
        num_examples(data.dir)
    except ValueError as error:
        raise ConfigError("data.dir", data.dir, str(error)) from None


SOURCE = Source(Files, 3, NUM_CLASSES, _check, lambda request: num_examples(request.data.dir)["validation"])


def _builder(data_dir: str | os.PathLike[str]) -> Any:
    """The tensorflow-datasets builder of a prepared folder, or of the folder with the record files itself."""
    import tensorflow_datasets as tfds
    from etils import epath

    def refuse(what: str) -> ValueError:
        how = "prepare it with python -m experiments.imagenet.prepare --archives=DIR --data_dir=DIR"
        return ValueError(f"data_dir: {os.fspath(data_dir)!r} {what}; {how}")

    root = epath.Path(data_dir)
    # All versions 5.x.y have the same records.
    folders = [root, *sorted(root.glob("imagenet2012/5.*"), reverse=True)] if root.is_dir() else []
    folder = next((folder for folder in folders if (folder / "dataset_info.json").exists()), None)
    if folder is None:
        raise refuse("has no imagenet2012/5.1.0/dataset_info.json")
    try:
        builder: Any = tfds.builder_from_directory(folder)
    except Exception as error:
        raise refuse(f"has no metadata of tensorflow-datasets ({' '.join(str(error).split())})") from None
    info, present = builder.info, {path.name for path in folder.iterdir()}
    if info.name != "imagenet2012" or info.file_format.value != "array_record":
        raise refuse(f"holds {info.name} in {info.file_format.value} files, not imagenet2012 in array_record files")
    for split in ("train", "validation"):
        if split not in info.splits:
            raise refuse(f"lacks split {split}")
        names = [path.name for path in info.splits[split].filepaths]
        if missing := [name for name in names if name not in present]:
            raise refuse(f"lacks {len(missing)} of {len(names)} files of split {split}, first {missing[0]}")
    return builder


class _Batches(Iterator[dict[str, np.ndarray]]):
    """The batches of rows; owns worker processes, which end with ``close()``, the iterator or Python."""

    def __init__(self, source: Any, rows_per_batch: int, num_workers: int):
        import grain

        # From here on an element is a whole batch and buffers are counted in batches, so they are kept short.
        threads = 1 if num_workers else min(os.cpu_count() or 1, _MAX_THREADS)
        dataset = grain.MapDataset.source(source).batch(rows_per_batch, batch_fn=rows.collate)
        dataset = dataset.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads))
        if num_workers:
            _mark_flags_as_parsed()
            dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=num_workers))
        self._open: list[Any] = [iter(dataset)]
        # Grain's own clean-up of an iterator that nobody closed would come too late.
        self.close = weakref.finalize(self, _close, self._open)

    def __next__(self) -> dict[str, np.ndarray]:
        if not self._open:
            raise StopIteration
        batch = next(self._open[0])
        if isinstance(batch, str):
            self.close()
            raise BrokenImage(batch)
        return batch


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
