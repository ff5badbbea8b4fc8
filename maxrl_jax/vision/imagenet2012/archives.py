"""The two official archives of ILSVRC 2012, and the position of each image in them.

    ILSVRC2012_img_train.tar   1,000 archives n01440764.tar, ..., one a class, 1,281,167 images in all
    ILSVRC2012_img_val.tar     50,000 images ILSVRC2012_val_00000001.JPEG, ...

Only the headers are read here. An image is a range of bytes in the archive, so images can be read in any order and
nothing is unpacked.
"""

import dataclasses
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ARCHIVES = {"train": "ILSVRC2012_img_train.tar", "validation": "ILSVRC2012_img_val.tar"}
_CLASS_ARCHIVE = re.compile(r"(n\d{8})\.tar")
_VALIDATION_IMAGE = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """A file of an archive: ``size`` bytes at ``offset``, and its class in [0, 1000)."""

    file_name: str
    label: int
    offset: int
    size: int


def find(folder: str | os.PathLike[str]) -> dict[str, Path]:
    """The archive of each split.

    Raises:
        ValueError: naming the folder or every archive that is missing.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(f"archives: got {str(root)!r}, allowed: a folder with {' and '.join(ARCHIVES.values())}")
    missing = [name for name in ARCHIVES.values() if not (root / name).is_file()]
    if missing:
        raise ValueError(f"archives: {str(root)!r} lacks {' and '.join(missing)}; image-net.org gives them")
    return {split: root / name for split, name in ARCHIVES.items()}


def labels() -> tuple[list[str], list[int]]:
    """The 1,000 synsets in the order of the classes, and the classes of validation images 1 to 50,000.

    Both lists come with the package tensorflow-datasets; the archives do not hold the second.
    """
    import importlib.resources

    folder = importlib.resources.files("tensorflow_datasets") / "datasets" / "imagenet2012"
    synsets = (folder / "labels.txt").read_text().split()
    number = {synset: i for i, synset in enumerate(synsets)}
    return synsets, [number[synset] for synset in (folder / "validation_labels.txt").read_text().split()]


def list_train(archive: Path, synsets: Sequence[str], seen: Callable[[int], None]) -> list[Image]:
    """Every training image, class archive by class archive.

    Args:
        archive: ILSVRC2012_img_train.tar.
        synsets: the classes' names, in order.
        seen: called with the number of images of each class archive, once it is read.

    Raises:
        ValueError: the archive is cut, or holds something else; the member is named.
    """
    number = {synset: i for i, synset in enumerate(synsets)}
    images: list[Image] = []
    with archive.open("rb") as outer_file, archive.open("rb") as inner_file:
        for member in _members(archive, outer_file, 0, archive.stat().st_size):
            match = _CLASS_ARCHIVE.fullmatch(os.path.basename(member.name))
            if not match or match[1] not in number:
                raise ValueError(f"{archive}: got {member.name!r} in it, allowed: the archives of the 1,000 classes")
            start = member.offset_data
            inside = f"{archive}: {member.name}"
            before = len(images)
            for inner in _members(inside, inner_file, start, start + member.size):
                name = os.path.basename(inner.name)
                images.append(Image(name, number[match[1]], inner.offset_data, inner.size))
            seen(len(images) - before)
    return images


def list_validation(archive: Path, classes: Sequence[int], seen: Callable[[int], None]) -> list[Image]:
    """Every validation image, its class by the number in its name.

    Args:
        archive: ILSVRC2012_img_val.tar.
        classes: of images 1, 2, ...
        seen: called with 1 for each image.

    Raises:
        ValueError: as `list_train`.
    """
    images: list[Image] = []
    with archive.open("rb") as file:
        for member in _members(archive, file, 0, archive.stat().st_size):
            name = os.path.basename(member.name)
            match = _VALIDATION_IMAGE.fullmatch(name)
            if not match or not 1 <= int(match[1]) <= len(classes):
                raise ValueError(
                    f"{archive}: got {member.name!r} in it, allowed: ILSVRC2012_val_00000001.JPEG and so on"
                )
            images.append(Image(name, classes[int(match[1]) - 1], member.offset_data, member.size))
            seen(1)
    return images


def check_complete(
    archives: Mapping[str, Path], images: Mapping[str, Sequence[Image]], wanted: Mapping[str, int]
) -> None:
    """Compares the numbers of images and training classes with those of the whole data set.

    Raises:
        ValueError: naming the archive, its contents and the expected contents.
    """
    classes = len({image.label for image in images["train"]})
    if classes != wanted["classes"]:
        raise ValueError(f"{archives['train']}: holds {classes} classes, allowed: {wanted['classes']}")
    for split, archive in archives.items():
        if len(images[split]) != wanted[split]:
            raise ValueError(f"{archive}: holds {len(images[split])} images, allowed: {wanted[split]}")


def _members(what: object, file: object, start: int, end: int) -> Iterator[tarfile.TarInfo]:
    """The files of the archive at [start, end) of an open file."""
    file.seek(start)  # type: ignore[attr-defined]
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:  # type: ignore[call-overload]
            for member in archive:
                if member.offset_data + member.size > end:
                    raise ValueError(f"{what}: the archive is cut, {member.name} goes on after its end")
                if member.isfile():
                    yield member
    except tarfile.TarError as error:
        raise ValueError(f"{what}: not a whole tar archive ({error})") from None
