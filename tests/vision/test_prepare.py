"""From archives to record files: damaged archives, and a preparation stopped half-way."""

import os
import shutil
import tarfile

import numpy as np
import pytest

from experiments.imagenet import prepare
from maxrl_jax.vision.imagenet2012 import jpeg, source
from tests.vision import archives
from tests.vision.conftest import NUM_SHARDS

TRAIN, VALIDATION = prepare.ARCHIVES["train"], prepare.ARCHIVES["validation"]


@pytest.fixture
def copied(small_archives, tmp_path):
    return shutil.copytree(small_archives, tmp_path / "archives")


def records(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*-of-*")}


def test_a_stopped_preparation_continues_and_mixes_no_archives(small_archives, prepared, copied, tmp_path, monkeypatch):
    def stopped_after(images, folder):
        left, convert = iter(range(images)), prepare.to_rgb_jpeg
        with monkeypatch.context() as patch:
            patch.setattr(prepare, "to_rgb_jpeg", lambda data: convert(data) if next(left) >= 0 else b"")
            with pytest.raises(StopIteration):
                prepare.prepare(folder, tmp_path, 1, subset=True, num_shards=NUM_SHARDS)

    shutil.copytree(archives.make(copied, {}), tmp_path / "others")  # without the CMYK and PNG files
    stopped_after(27, tmp_path / "others")
    stopped_after(17, small_archives)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("imagenet2012-*") if path.is_file()}
    with pytest.raises(ValueError, match="dataset_info"):
        source.num_examples(tmp_path)
    folder = prepare.prepare(small_archives, tmp_path, 2, subset=True, num_shards=NUM_SHARDS)
    again = [name for name, time in before.items() if (folder / name).stat().st_mtime_ns == time]
    assert len(again) == 2  # complete, so not written again
    assert records(folder) == records(prepared)
    with pytest.raises(ValueError, match="was prepared from other archives"):
        prepare.prepare(tmp_path / "others", tmp_path, 2, subset=True, num_shards=NUM_SHARDS)


def test_the_command_line(small_archives, tmp_path, capsys):
    command = [f"--archives={small_archives}", f"--data_dir={tmp_path / 'out'}", "--num_threads=2"]
    assert prepare.main(command) == 2
    assert f"{TRAIN}: holds 30 images of 5 classes, allowed: 1281167 of 1000" in capsys.readouterr().err
    for _ in range(2):  # the second finds it done
        assert prepare.main([*command, "--subset"]) == 0
        assert "5.1.0 is ready" in capsys.readouterr().out
    assert source.num_examples(tmp_path / "out") == {"train": 30, "validation": 10}
    assert prepare.main([f"--archives={small_archives}", "--data_dir=gs://bucket/data"]) == 2


BEYOND = tarfile.TarInfo("n01440764_0.JPEG")
BEYOND.size = 5000
CUT = BEYOND.tobuf() + bytes(512)  # the header of 5,000 bytes, and 512 of them


def cut(name, size):
    return lambda folder: os.truncate(folder / name, size)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / VALIDATION).unlink(), rf"{VALIDATION}: .*No such file"),
        (cut(VALIDATION, 4000), f"{VALIDATION}: "),
        (cut(TRAIN, 30_000), f"{TRAIN}: not the whole archive"),
        (lambda f: archives.of_one(f / VALIDATION, "ILSVRC2012_val_00000000.JPEG"), "got 'ILSVRC2012_val_00000000"),
        (lambda f: archives.of_one(f / TRAIN, f"{archives.SYNSETS[0]}.tar", CUT), "goes on after the end of"),
        (lambda f: shutil.copy(f / VALIDATION, f / TRAIN), f"{TRAIN}: not the whole archive"),
        (
            lambda f: archives.make(f, {f"{archives.SYNSETS[2]}_4.JPEG": archives.jpeg(0)[:-700]}),
            f"{TRAIN}: broken image {archives.SYNSETS[2]}_4.JPEG: a JPEG file that was cut",
        ),
    ],
)
def test_a_damaged_archive_is_named(copied, tmp_path, damage, said):
    damage(copied)
    with pytest.raises(ValueError, match=said):
        prepare.prepare(copied, tmp_path / "out", subset=True, num_shards=NUM_SHARDS)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a JPEG file"),
        (archives.PNG[:60], "cannot be decoded"),
        (archives.encoded("RGB", (10, 20, 200), (70, 50), "BMP"), "not a JPEG file"),
        (archives.jpeg(0)[:1000], "was cut"),
        (archives.jpeg(0)[:-2], "was cut"),
    ],
)
def test_a_file_that_is_broken_or_cut(data, said):
    with pytest.raises(ValueError, match=said):
        prepare.to_rgb_jpeg(data)


def test_pixels_are_rgb_and_orientation_tags_are_ignored():
    data = archives.jpeg(0, 40, 70)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6: turn it
    turned = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    assert jpeg.decode(data).shape == (40, 70, 3)
    np.testing.assert_array_equal(jpeg.decode(turned), jpeg.decode(data))
    for file in (data, archives.jpeg(0, grey=True)):
        assert prepare.to_rgb_jpeg(file) == file
    for file, shape, colour in (
        (archives.CMYK, (80, 100, 3), (49, 225, 225)),
        (archives.PNG, (50, 70, 3), (10, 20, 200)),
    ):
        again = jpeg.decode(prepare.to_rgb_jpeg(file))
        assert again.shape == shape
        assert np.abs(again.astype(int) - colour).max() <= 3


def test_simplejpeg_first_then_opencv(monkeypatch):
    """The fast decoder is asked first; what it refuses, such as CMYK, OpenCV decodes."""

    class Fast:
        @staticmethod
        def decode_jpeg(data, colorspace):
            if data == archives.CMYK:
                raise ValueError("unsupported")
            return colorspace

    with pytest.raises(ValueError, match="not a JPEG file"):
        jpeg.decode(archives.PNG)
    monkeypatch.setattr(jpeg, "_simplejpeg", lambda: Fast)
    assert jpeg.decode(archives.jpeg(0)) == "RGB"
    assert jpeg.decode(archives.CMYK).shape == (80, 100, 3)
