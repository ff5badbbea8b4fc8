"""Batches of a small ImageNet, prepared from archives and read by Grain: a batch is a function of seed and step."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds
from etils import epath

from experiments.imagenet import prepare
from maxrl_jax.vision.imagenet2012 import augmentation, rows, source
from maxrl_jax.vision.images import BrokenImage, Request
from tests.vision import archives
from tests.vision.conftest import NUM_SHARDS

NUM_TRAIN = len(archives.SYNSETS) * archives.PER_CLASS
LABELS = [65, 970, 230]  # of validation images 1, 2, 3


def files(data_dir, batch_size=8, seed=0, hosts=(0, 1), **data):
    data = {"dir": data_dir, "image_size": 24, "num_workers": 0, "eval_crop": False} | data
    return source.Files(Request(SimpleNamespace(**data), batch_size, seed, 0, *hosts))


def take(data_dir, count, start_step=0, **options):
    batches = files(data_dir, **options).host_batches(start_step)
    taken = [next(batches) for _ in range(count)]
    batches.close()
    return taken


def assert_same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name])


def joined(parts):
    """The batches of all hosts, put together."""
    return [{name: np.concatenate([b[name] for b in batch]) for name in batch[0]} for batch in zip(*parts, strict=True)]


@pytest.fixture(scope="module")
def nine(prepared):
    """Batches 0 to 8 of a run, more than two epochs."""
    return take(prepared, 9, seed=1)


@pytest.fixture
def folder(prepared, tmp_path):
    """The record files in a copy of the prepared folder, to be damaged."""
    shutil.copytree(prepared, tmp_path / "copy")
    return tmp_path / "copy" / "imagenet2012" / "5.1.0"


@pytest.mark.parametrize(("start_step", "num_workers"), [(7, 0), (7, 1)])
def test_batches_do_not_depend_on_the_first_step_or_the_workers(prepared, nine, start_step, num_workers):
    again = take(prepared, 9 - start_step, start_step, seed=1, num_workers=num_workers)
    assert_same(again, nine[start_step:])


def test_every_epoch_has_every_image_once_in_another_order(prepared):
    labels = np.concatenate([batch["label"] for batch in take(prepared, 6, batch_size=10, seed=4)])
    for epoch in np.split(labels, 2):
        np.testing.assert_array_equal(np.bincount(epoch), [archives.PER_CLASS] * len(archives.SYNSETS))
    orders = [rows.epoch_order(seed, epoch, 1000) for seed in (4, 5) for epoch in (0, 1)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    # Two random orders agree in one place on average.
    assert max(np.sum(a == b) for i, a in enumerate(orders) for b in orders[:i]) < 10


def test_a_row_is_the_view_of_its_record(prepared, nine):
    """Position p of the run: epoch p // n, record order[p % n], noise of p. Batch 4 begins in the second epoch."""
    records = tfds.builder("imagenet2012", data_dir=prepared).as_data_source("train")
    for row in range(8):
        epoch, rank = divmod(4 * 8 + row, NUM_TRAIN)
        record = records[rows.epoch_order(1, epoch, NUM_TRAIN)[rank]]
        view = augmentation.training_view(record["image"], 24, augmentation.uniforms(1, 4 * 8 + row))
        np.testing.assert_array_equal(nine[4]["image"][row], view)
        assert nine[4]["label"][row] == record["label"]


def test_hosts_share_the_batches_out(prepared, nine):
    parts = [take(prepared, 2, 3, seed=1, hosts=(i, 4)) for i in range(4)]
    assert_same(joined(parts), nine[3:5])
    assert not np.array_equal(take(prepared, 1, seed=2)[0]["image"], nine[0]["image"])


@pytest.mark.parametrize("eval_crop", [False, True])
def test_validation_is_every_image_once_and_padding(prepared, eval_crop):
    records = tfds.builder("imagenet2012", data_dir=prepared).as_data_source("validation")
    found = list(files(prepared, eval_crop=eval_crop).validation_batches(4))
    np.testing.assert_array_equal([batch["mask"].sum() for batch in found], [4, 4, 2])
    assert found[0]["mask"].dtype == np.bool_ and not found[2]["mask"][2:].any()
    for place, record in enumerate(records):
        batch, row = found[place // 4], place % 4
        np.testing.assert_array_equal(batch["image"][row], augmentation.validation_view(record["image"], 24, eval_crop))
        assert batch["label"][row] == record["label"]
    hosts = [files(prepared, eval_crop=eval_crop, hosts=(i, 2)).validation_batches(4) for i in range(2)]
    assert_same(joined([list(host) for host in hosts]), found)


def test_tensorflow_datasets_reads_the_record_files(prepared):
    """By the stock builder, without TensorFlow, in the order in which it would have written them."""
    splits = tfds.builder("imagenet2012", data_dir=prepared).as_data_source()
    assert {split: len(splits[split]) for split in splits} == source.num_examples(prepared)
    found = {split: {record["file_name"].decode(): record for record in splits[split]} for split in splits}
    for split, names in found.items():
        assert list(names) == sorted(names, key=lambda name: hashlib.md5((split + name).encode()).hexdigest())
    for name, record in found["train"].items():
        assert archives.SYNSETS[record["label"]] == name.split("_")[0]
    assert [found["validation"][f"ILSVRC2012_val_{i + 1:08d}.JPEG"]["label"] for i in range(3)] == LABELS
    first, second = archives.SYNSETS[:2]
    assert np.abs(found["train"][f"{first}_1.JPEG"]["image"].astype(int) - (49, 225, 225)).max() <= 3  # was CMYK
    assert np.abs(found["train"][f"{second}_2.JPEG"]["image"].astype(int) - (10, 20, 200)).max() <= 3  # was PNG


def test_normalise():
    image = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    expected = (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    result = source.normalise(jnp.asarray(image))
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, expected, atol=2e-6)


def test_a_broken_image_is_one_line(small_archives, tmp_path, monkeypatch):
    """A cut image, as a preparation without checks would write it; then a cut record file."""
    monkeypatch.setattr(prepare, "to_rgb_jpeg", lambda data: data[:-2])
    folder = prepare.prepare(small_archives, tmp_path, 1, subset=True, num_shards=NUM_SHARDS)
    with pytest.raises(BrokenImage, match=r"record \d+ \(n0\d+_\d\.JPEG\) of .*-of-00004: a JPEG file that was cut$"):
        next(files(folder).host_batches(0))
    shard = next(folder.glob("*validation*00000*"))
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(BrokenImage, match=rf"record 0 \(without a name\) of {shard}: .*$"):
        next(files(folder).validation_batches(4))


FORGETS = """
import sys
from tests.vision.test_imagenet2012 import files
if __name__ == "__main__":
    batches = files(sys.argv[1], num_workers=1).host_batches(0)
    print(next(batches)["label"].shape)
"""


def test_an_iterator_that_is_forgotten_ends_quietly(prepared, tmp_path):
    (tmp_path / "forgets.py").write_text(FORGETS)
    command = [sys.executable, tmp_path / "forgets.py", prepared]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": "."}, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout, done.stderr) == (0, "(8,)\n", "")


def test_the_folder_is_found_and_checked(prepared, folder, tmp_path):
    for data_dir in (prepared, str(prepared), epath.Path(prepared), prepared / "imagenet2012" / "5.1.0"):
        assert source.num_examples(data_dir) == {"train": NUM_TRAIN, "validation": 10}
    folder.rename(folder.with_name("5.0.0"))  # what older versions wrote, the records are the same
    assert source.num_examples(tmp_path / "copy") == {"train": NUM_TRAIN, "validation": 10}


def spoil(folder, change):
    info = json.loads((folder / "dataset_info.json").read_text())
    change(info)
    (folder / "dataset_info.json").write_text(json.dumps(info))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (shutil.rmtree, r"has no imagenet2012/5\.1\.0/dataset_info\.json"),
        (lambda f: (f / "dataset_info.json").unlink(), r"has no imagenet2012/5\.1\.0/dataset_info\.json"),
        (lambda f: (f / "dataset_info.json").write_text("{"), "has no metadata of tensorflow-datasets"),
        (lambda f: spoil(f, lambda info: info.update(fileFormat="tfrecord")), "in tfrecord files, not .*array_record"),
        (lambda f: spoil(f, lambda info: info["splits"].pop()), "lacks split validation"),
        (
            lambda f: next(f.glob("*train*00002-of-00004")).unlink(),
            "lacks 1 of 4 files of split train, first imagenet2012-train.array_record-00002-of",
        ),
    ],
)
def test_a_missing_part_is_named(folder, damage, said):
    damage(folder)
    with pytest.raises(ValueError, match=said) as error:
        files(folder).host_batches(0)
    assert "\n" not in str(error.value)
