"""Writes the record files and metadata of a split as tensorflow-datasets would, one shard after another.

Records are ordered by the md5 of split and file name and cut into shards of equal size. A shard depends on the
archives alone, so shards can be written in any order, by many threads, and again after a stop. A shard gets its final
name when it is complete.
"""

import concurrent.futures
import hashlib
import importlib
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from maxrl_jax.vision.imagenet2012 import files as imagenet_files
from maxrl_jax.vision.imagenet2012 import jpeg, tf_example
from maxrl_jax.vision.imagenet2012.archives import Image

_PLAN = "preparation.json"
_UNFINISHED = ".unfinished-"
NUM_SHARDS = {"train": 1024, "validation": 64}
"""The result of tensorflow-datasets' rule (files of 64 MiB to 1 GiB) for the whole data set."""


def plan(
    images: Mapping[str, Sequence[Image]], folder: Path, num_shards: Mapping[str, int]
) -> dict[str, list[list[Image]]]:
    """The shards of each split, and a note of them in the folder.

    Args:
        images: of each split.
        folder: where the record files go; made if it is not there.
        num_shards: of each split, `NUM_SHARDS` but for tests; no more than there are images.

    Raises:
        ValueError: the folder has files prepared from other archives.
    """
    shards = {split: _shards(split, images[split], num_shards[split]) for split in images}
    folder.mkdir(parents=True, exist_ok=True)
    note = {split: _digest(found) for split, found in images.items()}
    path = folder / _PLAN
    if path.exists():
        if json.loads(path.read_text()) != note:
            raise ValueError(f"data_dir: {str(folder)!r} was begun from other archives; give an empty folder")
    else:
        _write(path, json.dumps(note))
    return shards


def write_split(
    split: str,
    shards: Sequence[Sequence[Image]],
    archive: Path,
    folder: Path,
    num_threads: int,
    written: Callable[[int], None],
) -> None:
    """Writes those shards of a split that are not there yet.

    Args:
        split: "train" or "validation".
        shards: from `plan`.
        archive: the tar file that holds the images.
        folder: where the record files go.
        num_threads: shards written at a time.
        written: called with the number of images in each shard that is complete, also those of an earlier run.

    Raises:
        ValueError: a broken image, named with its archive.
    """
    paths = [folder / imagenet_files.shard_name(split, i, len(shards)) for i in range(len(shards))]
    todo = [(path, images) for path, images in zip(paths, shards, strict=True) if not path.exists()]
    written(sum(map(len, shards)) - sum(len(images) for _, images in todo))
    with concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
        jobs = {pool.submit(_write_shard, path, images, archive): len(images) for path, images in todo}
        try:
            for job in concurrent.futures.as_completed(jobs):
                job.result()
                written(jobs[job])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def write_records(path: Path, records: Iterable[bytes]) -> None:
    """Writes one ArrayRecord file, which gets its name when it is complete."""
    # One record a group, so that a single one can be read.
    array_record = importlib.import_module("array_record.python.array_record_module")
    unfinished = path.with_name(_UNFINISHED + path.name)
    writer = array_record.ArrayRecordWriter(str(unfinished), "group_size:1")
    try:
        for record in records:
            writer.write(record)
    finally:
        writer.close()
    os.replace(unfinished, path)


def write_metadata(folder: Path, shards: Mapping[str, Sequence[Sequence[Image]]]) -> None:
    """Writes dataset_info.json, features.json and the class names, by the stock builder of tensorflow-datasets.

    They are written last and dataset_info.json at the very end, so a folder that has it is complete.
    """
    import tensorflow_datasets as tfds
    from etils import epath

    splits = []
    for split, parts in shards.items():
        template = tfds.core.ShardedFileTemplate(
            data_dir=epath.Path(folder),
            dataset_name=imagenet_files.NAME,
            split=split,
            filetype_suffix=imagenet_files.FORMAT,
        )
        names = [imagenet_files.shard_name(split, i, len(parts)) for i in range(len(parts))]
        num_bytes = sum((folder / name).stat().st_size for name in names)
        splits.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[len(part) for part in parts],
                num_bytes=num_bytes,
                filename_template=template,
            )
        )
    with tempfile.TemporaryDirectory(dir=folder, prefix=_UNFINISHED) as temporary:
        name = f"{imagenet_files.NAME}:{imagenet_files.VERSION}"
        builder: Any = tfds.builder(name, data_dir=temporary, file_format=imagenet_files.FORMAT)
        info = builder.info
        info.set_splits(tfds.core.SplitDict(splits))
        info.write_to_directory(temporary)
        files = [path for path in Path(temporary).iterdir() if path.is_file()]
        for path in sorted(files, key=lambda path: path.name == "dataset_info.json"):
            os.replace(path, folder / path.name)


def _shards(split: str, images: Sequence[Image], num_shards: int) -> list[list[Image]]:
    """Images in the order of their hashes, cut where tensorflow-datasets cuts them."""
    salt = hashlib.md5(split.encode())

    def order(image: Image) -> bytes:
        md5 = salt.copy()
        md5.update(image.file_name.encode())
        return md5.digest()

    in_order = sorted(images, key=order)
    count = min(num_shards, len(images))
    cuts = [round(len(images) * i / count) for i in range(count + 1)]
    return [in_order[a:b] for a, b in itertools.pairwise(cuts)]


def _write_shard(path: Path, images: Sequence[Image], archive: Path) -> None:
    with archive.open("rb") as file:
        write_records(path, (_record(file, image, archive) for image in images))


def _record(file: Any, image: Image, archive: Path) -> bytes:
    """One serialised tf.train.Example."""
    file.seek(image.offset)
    try:
        data = jpeg.to_rgb_jpeg(file.read(image.size))
    except ValueError as error:
        raise ValueError(f"{archive}: broken image {image.file_name}: {error}") from None
    return tf_example.encode({"file_name": image.file_name.encode(), "image": data, "label": image.label})


def _digest(images: Sequence[Image]) -> str:
    """Tells the images of one pair of archives from those of another, by names, classes and sizes."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.file_name} {image.label} {image.size}\n".encode())
    return f"{len(images)} images, {digest.hexdigest()}"


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(_UNFINISHED + path.name)
    unfinished.write_text(text)
    os.replace(unfinished, path)
