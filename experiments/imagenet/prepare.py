"""Turns the two official ImageNet archives into record files, without TensorFlow.

    python -m experiments.imagenet.prepare --archives=DIR --data_dir=DIR

``--archives`` holds ILSVRC2012_img_train.tar (138 GB) and ILSVRC2012_img_val.tar (6.3 GB) from image-net.org;
``--data_dir`` receives imagenet2012/5.1.0/ (144 GB), the same files that tensorflow-datasets writes, and becomes a
config's data.dir. The archives are never unpacked. If it is stopped, the same command continues after the last complete
file. The few CMYK and PNG images are encoded anew as RGB JPEG.

Images are read in the order of the record files, that is from everywhere in the archive: keep the archives on a
solid-state disk (a spinning one takes hours).
"""

import argparse
import concurrent.futures
import hashlib
import importlib
import importlib.resources
import io
import itertools
import os
import re
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2

from maxrl_jax.runs.folder.progress import Progress
from maxrl_jax.vision.imagenet2012 import jpeg

ARCHIVES = {"train": "ILSVRC2012_img_train.tar", "validation": "ILSVRC2012_img_val.tar"}
NUM_IMAGES = {"train": 1_281_167, "validation": 50_000}
NUM_SHARDS = {"train": 1024, "validation": 64}
"""The result of tensorflow-datasets' rule (files of 64 MiB to 1 GiB) for the whole data set."""

_NUM_CLASSES = 1_000
_VALIDATION_IMAGE = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")
_PNG = b"\x89PNG\r\n\x1a\n"
_MADE_FROM = "archives.sha256"  # in a prepared folder
_CONSOLE_SECONDS = 10.0


class Image(NamedTuple):
    """A file of an archive: ``size`` bytes at ``offset``, and its class's name."""

    name: str
    synset: str
    offset: int
    size: int


def prepare(
    archives: str | os.PathLike[str],
    data_dir: str | os.PathLike[str],
    num_threads: int = 0,
    subset: bool = False,
    num_shards: Mapping[str, int] = NUM_SHARDS,
) -> Path:
    """Prepares a folder that `imagenet2012.source` and ``tfds.builder("imagenet2012")`` read.

    Args:
        archives: folder of the two archives.
        data_dir: folder to write to; the same folder again continues where it stopped.
        num_threads: record files written at a time; 0 takes the number of cores.
        subset: accept archives with fewer images than the whole data set, for trials.
        num_shards: record files of each split.

    Returns:
        The folder of the record files.

    Raises:
        ValueError: one line that names the missing or broken archive, image or folder.
        OSError: the disk is full, or a folder cannot be written to.
    """
    if "://" in os.fspath(data_dir):
        raise ValueError(f"data_dir: got {os.fspath(data_dir)!r}, allowed: a local folder, copied to a bucket later")
    folder = Path(data_dir) / "imagenet2012" / "5.1.0"
    progress = Progress("imagenet", _CONSOLE_SECONDS)
    paths = {split: Path(archives) / name for split, name in ARCHIVES.items()}
    images = {}
    for split, path in paths.items():
        progress.say(f"imagenet: lists {path}")
        images[split] = list_images(path, split)
        found = len(images[split]), len({image.synset for image in images[split]})
        if not subset and found != (NUM_IMAGES[split], _NUM_CLASSES):
            allowed = f"{NUM_IMAGES[split]} of {_NUM_CLASSES}"
            raise ValueError(f"{path}: holds {found[0]} images of {found[1]} classes, allowed: {allowed}")
    digest = hashlib.sha256(repr((images, num_shards)).encode()).hexdigest()
    if (folder / "dataset_info.json").exists():
        note = folder / _MADE_FROM
        if note.exists() and note.read_text() != digest:
            raise ValueError(f"data_dir: {os.fspath(folder)!r} was prepared from other archives; give an empty folder")
        return folder
    unfinished = folder.with_name(f"incomplete-{digest[:8]}")  # other archives have another one
    unfinished.mkdir(parents=True, exist_ok=True)
    try:
        _write(paths, images, unfinished, num_shards, num_threads or os.cpu_count() or 1, progress)
        (unfinished / _MADE_FROM).write_text(digest)
        unfinished.rename(folder)
    finally:
        progress.end()
    return folder


def list_images(archive: Path, split: str) -> list[Image]:
    """The images of an archive, from its headers; those of the training set lie in one inner archive for each class.

    Raises:
        ValueError: no such file, not a whole archive, or a member that does not belong there.
    """
    # The classes of the validation images are not in the archive.
    folder = importlib.resources.files("tensorflow_datasets") / "datasets" / "imagenet2012"
    synsets = (folder / "labels.txt").read_text().split()
    in_order = (folder / "validation_labels.txt").read_text().split()
    images = []
    try:
        with archive.open("rb") as outer, archive.open("rb") as inner:
            for member in filter(tarfile.TarInfo.isfile, tarfile.TarFile(fileobj=outer)):
                name = os.path.basename(member.name)
                if split == "validation":
                    number = _VALIDATION_IMAGE.fullmatch(name)
                    if number is None or not 1 <= int(number[1]) <= len(in_order):
                        raise ValueError(f"got {name!r} in it, allowed: ILSVRC2012_val_00000001.JPEG and so on")
                    images.append(Image(name, in_order[int(number[1]) - 1], member.offset_data, member.size))
                    continue
                synset = synsets[synsets.index(name.removesuffix(".tar"))]
                inner.seek(member.offset_data)
                for file in filter(tarfile.TarInfo.isfile, tarfile.TarFile(fileobj=inner)):
                    if file.offset_data + file.size > member.offset_data + member.size:
                        raise ValueError(f"{file.name} goes on after the end of {member.name}")
                    images.append(Image(os.path.basename(file.name), synset, file.offset_data, file.size))
    except (OSError, tarfile.TarError, ValueError) as error:
        raise ValueError(f"{archive}: not the whole archive of image-net.org ({error})") from None
    return images


def _write(
    archives: Mapping[str, Path],
    images: Mapping[str, Sequence[Image]],
    folder: Path,
    num_shards: Mapping[str, int],
    num_threads: int,
    progress: Progress,
) -> None:
    """Writes the record files that are not there yet, and then the metadata, by the stock builder."""
    import tensorflow_datasets as tfds
    from etils import epath

    builder: Any = tfds.builder("imagenet2012:5.1.0", data_dir=folder, file_format="array_record")
    splits = []
    for split, archive in archives.items():
        template = tfds.core.ShardedFileTemplate(
            data_dir=epath.Path(folder), dataset_name="imagenet2012", split=split, filetype_suffix="array_record"
        )
        shards = shards_of(split, images[split], num_shards[split])
        paths = [Path(path) for path in template.sharded_filepaths(len(shards))]
        progress.begin(f"writes {split}", 0, len(images[split]))
        done = 0
        with concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
            jobs = [
                pool.submit(_write_shard, path, shard, archive, builder.info.features)
                for path, shard in zip(paths, shards, strict=True)
            ]
            try:
                for job in concurrent.futures.as_completed(jobs):
                    done += job.result()
                    progress.update(done, len(images[split]), {})
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        size = sum(path.stat().st_size for path in paths)
        lengths = [len(shard) for shard in shards]
        splits.append(
            tfds.core.SplitInfo(name=split, shard_lengths=lengths, num_bytes=size, filename_template=template)
        )
    builder.info.set_splits(tfds.core.SplitDict(splits))
    builder.info.write_to_directory(folder)


def shards_of(split: str, images: Sequence[Image], num_shards: int) -> list[list[Image]]:
    """Images in the order of their hashes, cut where tensorflow-datasets cuts them."""
    in_order = sorted(images, key=lambda image: hashlib.md5((split + image.name).encode()).digest())
    count = min(num_shards, len(images))
    cuts = [round(len(images) * i / count) for i in range(count + 1)]
    return [in_order[a:b] for a, b in itertools.pairwise(cuts)]


def _write_shard(path: Path, images: Sequence[Image], archive: Path, features: Any) -> int:
    """Writes one record file, which gets its name when it is complete; returns the number of its images."""
    if path.exists():
        return len(images)
    unfinished = path.with_name(f".{path.name}")
    array_record = importlib.import_module("array_record.python.array_record_module")
    writer = array_record.ArrayRecordWriter(str(unfinished), "group_size:1")  # so that a single one can be read
    try:
        with archive.open("rb") as file:
            for image in images:
                file.seek(image.offset)
                try:
                    data = to_rgb_jpeg(file.read(image.size))
                except ValueError as error:
                    raise ValueError(f"{archive}: broken image {image.name}: {error}") from None
                fields = {"file_name": image.name, "image": io.BytesIO(data), "label": image.synset}
                writer.write(features.serialize_example(features.encode_example(fields)))
    finally:
        writer.close()
    os.replace(unfinished, path)
    return len(images)


def to_rgb_jpeg(data: bytes) -> bytes:
    """The same file if it is a grey or RGB JPEG; a PNG or CMYK image encoded anew as RGB JPEG, of quality 100.

    Every image is decoded, at an eighth of its size, so that a broken one is reported now and not in training.

    Raises:
        ValueError: the data are none of these, or broken.
    """
    import PIL.Image

    if not data.startswith(_PNG):
        jpeg.check(data)
        jpeg.by_opencv(data, cv2.IMREAD_REDUCED_COLOR_8)
        try:
            with PIL.Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
                if image.mode != "CMYK":
                    return data
        except PIL.UnidentifiedImageError:
            raise ValueError("a JPEG file with a broken header") from None
    bgr = cv2.cvtColor(jpeg.by_opencv(data), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit status: 0 done, 2 an error that one line names, 130 interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archives", required=True, help="folder of the two official archives")
    parser.add_argument("--data_dir", required=True, help="folder to write to")
    parser.add_argument("--num_threads", type=int, default=0, help="record files written at a time; 0: one a core")
    parser.add_argument("--subset", action="store_true", help="accept archives with fewer images, for trials")
    try:
        print(f"{prepare(**vars(parser.parse_args(argv)))} is ready")
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
