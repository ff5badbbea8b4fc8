"""Small archives with the names and the nesting of the official ones, full of real JPEG files."""

import io
import tarfile

import cv2
import numpy as np
from PIL import Image

from experiments.imagenet.prepare import ARCHIVES

SYNSETS = ("n01440764", "n01443537", "n01484850", "n01491361", "n01494475")  # classes 0 to 4
PER_CLASS, NUM_VALIDATION = 6, 10


def jpeg(seed, height=90, width=120, grey=False):
    """A smooth random picture, as a JPEG file."""
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 1 if grey else 3), dtype=np.uint8)
    return cv2.imencode(".jpg", cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))[1].tobytes()


def encoded(mode, colour, size, kind):
    """An image file of one colour."""
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, kind)
    return buffer.getvalue()


CMYK = encoded("CMYK", (200, 0, 0, 30), (100, 80), "JPEG")  # RGB (49, 225, 225)
PNG = encoded("RGB", (10, 20, 200), (70, 50), "PNG")


def make(folder, special):
    """Both archives; ``special`` replaces training files by name, such as ``n01440764_1.JPEG``."""
    with tarfile.open(folder / ARCHIVES["train"], "w") as train:
        for c, synset in enumerate(SYNSETS):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as inner:
                for i in range(PER_CLASS):
                    name = f"{synset}_{i}.JPEG"
                    picture = jpeg(100 * c + i, 60 + 17 * i, 130 - 11 * c, grey=i == 3)
                    _add(inner, name, special.get(name, picture))
            _add(train, f"{synset}.tar", buffer.getvalue())
    with tarfile.open(folder / ARCHIVES["validation"], "w") as validation:
        # Not in the order of their numbers: an image's class goes by its name.
        for i in reversed(range(NUM_VALIDATION)):
            _add(validation, f"ILSVRC2012_val_{i + 1:08d}.JPEG", jpeg(1000 + i))
    return folder


def of_one(path, name, data=b""):
    """An archive of one file."""
    with tarfile.open(path, "w") as archive:
        _add(archive, name, data)


def _add(archive, name, data):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))
