"""The folder of a prepared ImageNet: names of its record files, and its metadata.

    DIR/imagenet2012/5.1.0/imagenet2012-train.array_record-00000-of-01024       and 1,023 more
    DIR/imagenet2012/5.1.0/imagenet2012-validation.array_record-00000-of-00064  and 63 more
    DIR/imagenet2012/5.1.0/dataset_info.json  features.json  label.labels.txt

These are the files of tensorflow-datasets; each record is a tf.train.Example with ``image`` (a JPEG file), ``label``
and ``file_name``. ArrayRecord files can be read in any order; TFRecord files cannot.
"""

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

NAME, VERSION, FORMAT = "imagenet2012", "5.1.0", "array_record"
SPLITS = ("train", "validation")
_INFO = "dataset_info.json"
_HOW = "prepare it with python -m experiments.imagenet.prepare --archives=DIR --data_dir=DIR"


@dataclasses.dataclass(frozen=True)
class Shard:
    """One record file, in the form of `grain.sources.ArrayRecordDataSource`; the count saves opening it."""

    filename: str
    examples_in_shard: int
    skip: int = 0

    @property
    def take(self) -> int:
        """All of its records."""
        return self.examples_in_shard


def shard_name(split: str, index: int, count: int) -> str:
    """File name of a shard, as tensorflow-datasets writes it."""
    return f"{NAME}-{split}.{FORMAT}-{index:05d}-of-{count:05d}"


def version_folder(data_dir: str | os.PathLike[str]) -> Any:
    """The folder of a data_dir's files: ``DIR/imagenet2012/5.1.0`` (an `etils.epath.Path`)."""
    from etils import epath

    return epath.Path(data_dir) / NAME / VERSION


def find(data_dir: str | os.PathLike[str]) -> dict[str, Sequence[Shard]]:
    """The shards of each split of a prepared folder.

    Args:
        data_dir: the folder given to the preparation, or the one with the record files itself.

    Raises:
        ValueError: one line that names what is missing or cannot be read.
    """
    from etils import epath

    root = epath.Path(data_dir)
    if not root.is_dir():
        raise ValueError(f"data_dir: got {os.fspath(data_dir)!r}, no such folder; {_HOW}")
    folder = next((f for f in (root, version_folder(root), *_other_versions(root)) if (f / _INFO).exists()), None)
    if folder is None:
        raise ValueError(f"data_dir: {os.fspath(data_dir)!r} has no {NAME}/{VERSION}/{_INFO}; {_HOW}")
    try:
        info = json.loads((folder / _INFO).read_text())
        lengths = {split["name"]: [int(n) for n in split["shardLengths"]] for split in info["splits"]}
        name, file_format = info["name"], info["fileFormat"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"data_dir: {os.fspath(folder / _INFO)!r} is not metadata of tensorflow-datasets") from None
    if (name, file_format) != (NAME, FORMAT):
        raise ValueError(
            f"data_dir: {os.fspath(folder)!r} holds {name} in {file_format} files, allowed: {NAME} in {FORMAT} files"
        )
    present = {path.name for path in folder.iterdir()}
    return {split: _shards(folder, split, lengths.get(split, []), present) for split in SPLITS}


def _shards(folder: Any, split: str, lengths: Sequence[int], present: set[str]) -> Sequence[Shard]:
    names = [shard_name(split, i, len(lengths)) for i in range(len(lengths))]
    missing = [name for name in names if name not in present]
    if not names or missing:
        what = (
            f"{len(missing)} of {len(names)} files of split {split}, first {missing[0]}" if names else f"split {split}"
        )
        raise ValueError(f"data_dir: {os.fspath(folder)!r} lacks {what}; {_HOW}")
    return tuple(Shard(os.fspath(folder / name), length) for name, length in zip(names, lengths, strict=True))


def _other_versions(root: Any) -> list[Any]:
    """Folders of the other 5.x.y versions, which have the same records; newest first."""
    parent = root / NAME
    return sorted(parent.glob("5.*"), key=lambda path: path.name, reverse=True) if parent.is_dir() else []
