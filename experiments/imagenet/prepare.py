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
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from maxrl_jax.runs.folder.progress import Progress
from maxrl_jax.vision.imagenet2012 import archives as imagenet_archives
from maxrl_jax.vision.imagenet2012 import files as imagenet_files
from maxrl_jax.vision.imagenet2012 import source as imagenet2012
from maxrl_jax.vision.imagenet2012 import writer as imagenet_writer

_CONSOLE_SECONDS = 10.0
_COMPLETE = {
    "classes": imagenet2012.NUM_CLASSES,
    "train": imagenet2012.NUM_TRAIN,
    "validation": imagenet2012.NUM_VALIDATION,
}


def prepare(
    archives: str | os.PathLike[str],
    data_dir: str | os.PathLike[str],
    num_threads: int = 0,
    subset: bool = False,
    num_shards: Mapping[str, int] = imagenet_writer.NUM_SHARDS,
) -> Path:
    """Prepares a folder that `imagenet2012.train_batches` and ``tfds.builder("imagenet2012")`` read.

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
    paths = imagenet_archives.find(archives)
    if "://" in os.fspath(data_dir):
        raise ValueError(
            f"data_dir: got {os.fspath(data_dir)!r}, allowed: a local folder, copied to a bucket afterwards"
        )
    folder = Path(imagenet_files.version_folder(data_dir))
    progress = Progress("imagenet", _CONSOLE_SECONDS)
    try:
        images = _list(paths, progress)
        if not subset:
            imagenet_archives.check_complete(paths, images, _COMPLETE)
        shards = imagenet_writer.plan(images, folder, num_shards)
        for split, archive in paths.items():
            seen = _counter(progress, f"writes {split}", len(images[split]))
            imagenet_writer.write_split(split, shards[split], archive, folder, num_threads or os.cpu_count() or 1, seen)
        imagenet_writer.write_metadata(folder, shards)
        progress.say(f"imagenet: {folder} is ready")
    finally:
        progress.end()
    return folder


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit status: 0 done, 2 an error that one line names, 130 interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archives", required=True, help="folder of the two official archives")
    parser.add_argument("--data_dir", required=True, help="folder to write to")
    parser.add_argument("--num_threads", type=int, default=0, help="record files written at a time; 0: one a core")
    parser.add_argument("--subset", action="store_true", help="accept archives with fewer images, for trials")
    try:
        prepare(**vars(parser.parse_args(argv)))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


def _list(archives: Mapping[str, Path], progress: Progress) -> dict[str, list[imagenet_archives.Image]]:
    """The images of both archives, from their headers."""
    synsets, classes = imagenet_archives.labels()
    seen = _counter(progress, "lists validation", imagenet2012.NUM_VALIDATION)
    validation = imagenet_archives.list_validation(archives["validation"], classes, seen)
    seen = _counter(progress, "lists train", imagenet2012.NUM_TRAIN)
    return {"train": imagenet_archives.list_train(archives["train"], synsets, seen), "validation": validation}


def _counter(progress: Progress, phase: str, total: int) -> Callable[[int], None]:
    """A phase of the display, and the function that says how many more images are done."""
    done = 0
    progress.begin(phase, 0, total)

    def more(images: int) -> None:
        nonlocal done
        done += images
        progress.update(done, total, {})

    return more


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
