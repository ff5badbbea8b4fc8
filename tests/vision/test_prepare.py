"""From archives to record files: damaged archives, and a preparation killed half-way."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from experiments.imagenet import prepare
from maxrl_jax.vision.imagenet2012 import archives as imagenet_archives
from maxrl_jax.vision.imagenet2012 import source as imagenet2012
from maxrl_jax.vision.imagenet2012 import writer as imagenet_writer
from tests.vision import archives
from tests.vision.conftest import NUM_SHARDS

TRAIN, VALIDATION = imagenet_archives.ARCHIVES["train"], imagenet_archives.ARCHIVES["validation"]

# Killed without warning while it writes the third record file.
KILLED = """
import os, signal, sys
from experiments.imagenet import prepare
from maxrl_jax.vision.imagenet2012 import writer as imagenet_writer
record, count = imagenet_writer._record, 0
def dying(*args):
    global count
    count += 1
    if count == 18:
        os.kill(os.getpid(), signal.SIGKILL)
    return record(*args)
imagenet_writer._record = dying
prepare.prepare(sys.argv[1], sys.argv[2], num_threads=1, subset=True, num_shards={"train": 4, "validation": 2})
"""


def files(data_dir):
    return {path.name: path for path in (data_dir / "imagenet2012" / "5.1.0").iterdir()}


def run(capsys, *arguments):
    status = prepare.main(list(arguments))
    return status, capsys.readouterr().err


@pytest.fixture
def copied(small_archives, tmp_path):
    return shutil.copytree(small_archives, tmp_path / "archives")


def test_a_killed_preparation_continues(small_archives, prepared, tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, small_archives, tmp_path], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    before = {name: path.stat().st_mtime_ns for name, path in files(tmp_path).items() if "-of-" in name}
    complete = [name for name in before if not name.startswith(".")]
    assert len(complete) == 2 and len(before) == 3  # and one that is not
    with pytest.raises(ValueError, match="dataset_info"):
        imagenet2012.check(tmp_path)
    prepare.prepare(small_archives, tmp_path, num_threads=2, subset=True, num_shards=NUM_SHARDS)
    after = files(tmp_path)
    assert all(after[name].stat().st_mtime_ns == before[name] for name in complete)  # not written again
    whole = files(prepared)
    assert after.keys() == whole.keys()
    for name, path in whole.items():
        assert after[name].read_bytes() == path.read_bytes(), name


def test_the_command_line(small_archives, tmp_path, capsys):
    status, said = run(capsys, f"--archives={small_archives}", f"--data_dir={tmp_path / 'out'}", "--subset")
    assert status == 0
    assert "writes train 30/30" in said and "is ready" in said
    assert imagenet2012.num_examples(tmp_path / "out") == {"train": 30, "validation": 10}


def cut(name, size):
    def damage(folder):
        os.truncate(folder / name, size)

    return damage


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (shutil.rmtree, "allowed: a folder with ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar"),
        (lambda f: (f / VALIDATION).unlink(), f"lacks {VALIDATION}"),
        (cut(VALIDATION, 4000), f"{VALIDATION}: "),
        (cut(TRAIN, 30_000), f"{TRAIN}: the archive is cut, {archives.SYNSETS[0]}.tar goes on"),
        (lambda f: (f / TRAIN).write_bytes(b"not an archive" * 100), f"{TRAIN}: not a whole tar archive"),
        (lambda f: shutil.copy(f / VALIDATION, f / TRAIN), "allowed: the archives of the 1,000 classes"),
        (
            lambda f: archives.make(f, {f"{archives.SYNSETS[2]}_4.JPEG": archives.jpeg(0)[:-700]}),
            f"{TRAIN}: broken image {archives.SYNSETS[2]}_4.JPEG: a JPEG file that was cut",
        ),
    ],
)
def test_a_damaged_archive_is_one_line(copied, tmp_path, capsys, damage, said):
    damage(copied)
    status, line = run(capsys, f"--archives={copied}", f"--data_dir={tmp_path / 'out'}", "--subset")
    assert status == 2
    errors = [text for text in line.splitlines() if not text.startswith("imagenet ")]
    assert len(errors) == 1 and errors[0].startswith("error: ") and said in errors[0], line


def test_fewer_images_than_the_whole_data_set(small_archives, tmp_path, capsys):
    arguments = [f"--archives={small_archives}", f"--data_dir={tmp_path}"]
    status, line = run(capsys, *arguments)
    assert status == 2 and f"{TRAIN}: holds 5 classes, allowed: 1000" in line
    found = {"train": [imagenet_archives.Image("a", c, 0, 1) for c in range(1000)], "validation": []}
    paths = imagenet_archives.find(small_archives)
    with pytest.raises(ValueError, match=r"train\.tar: holds 1000 images, allowed: 1281167"):
        imagenet_archives.check_complete(paths, found, prepare._COMPLETE)
    with pytest.raises(ValueError, match=r"val\.tar: holds 0 images, allowed: 50000"):
        imagenet_archives.check_complete(paths, found, {**prepare._COMPLETE, "train": 1000})


def test_a_folder_begun_from_other_archives(small_archives, prepared, copied):
    archives.make(copied)  # without the CMYK and PNG files
    with pytest.raises(ValueError, match="was begun from other archives"):
        prepare.prepare(copied, prepared, subset=True, num_shards=NUM_SHARDS)


def test_a_bucket_is_no_place_to_write(small_archives):
    with pytest.raises(ValueError, match="allowed: a local folder"):
        prepare.prepare(small_archives, "gs://bucket/data", subset=True)


def test_the_whole_data_set_would_have_the_usual_files():
    """The stock names end in -of-01024 and -of-00064; the labels of the 50,000 validation images are at hand."""
    assert imagenet_writer.NUM_SHARDS == {"train": 1024, "validation": 64}
    assert len(archives.SYNSETS) == len(set(archives.SYNSETS)) == imagenet2012.NUM_CLASSES
    assert sorted(archives.SYNSETS) == archives.SYNSETS
    assert len(archives.VALIDATION_CLASSES) == imagenet2012.NUM_VALIDATION
    assert {archives.VALIDATION_CLASSES.count(c) for c in (0, 1, 500, 999)} == {50}
