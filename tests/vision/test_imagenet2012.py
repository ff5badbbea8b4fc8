"""Batches of a small ImageNet, prepared from archives and read by Grain: a batch is a function of seed and step."""

import hashlib
import json
import shutil
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds
from etils import epath

from maxrl_jax.vision.imagenet2012 import augmentation, jpeg, tf_example
from maxrl_jax.vision.imagenet2012 import files as imagenet_files
from maxrl_jax.vision.imagenet2012 import rows as imagenet_rows
from maxrl_jax.vision.imagenet2012 import source as imagenet2012
from maxrl_jax.vision.imagenet2012 import writer as imagenet_writer
from tests.vision import archives

NUM_TRAIN = archives.NUM_CLASSES * archives.PER_CLASS


def take(data_dir, count, batch_size=8, image_size=24, **options):
    with imagenet2012.train_batches(data_dir, batch_size, image_size, **options) as batches:
        return [next(batches) for _ in range(count)]


def assert_same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name])


@pytest.fixture(scope="module")
def nine(prepared):
    """Batches 0 to 8 of a run, more than two epochs."""
    return take(prepared, 9, seed=1)


@pytest.fixture
def folder(prepared, tmp_path):
    """The record files in a copy of the prepared folder, to be damaged."""
    shutil.copytree(prepared, tmp_path / "copy")
    return tmp_path / "copy" / "imagenet2012" / "5.1.0"


def test_batches_are_bytes_and_labels(prepared, nine):
    for batch in [*nine, *take(prepared, 1, seed=2)]:
        assert batch["image"].shape == (8, 24, 24, 3) and batch["image"].dtype == np.uint8
        assert batch["label"].shape == (8,) and batch["label"].dtype == np.int32
    assert len({batch["image"].tobytes() for batch in [*nine, *take(prepared, 1, seed=2)]}) == 10


@pytest.mark.parametrize(("start_step", "num_workers"), [(7, 0), (3, 2)])
def test_batches_do_not_depend_on_the_first_step_or_the_workers(prepared, nine, start_step, num_workers):
    again = take(prepared, 9 - start_step, seed=1, start_step=start_step, num_workers=num_workers)
    assert_same(again, nine[start_step:])


def test_every_epoch_has_every_image_once_in_another_order(prepared):
    labels = np.concatenate([batch["label"] for batch in take(prepared, 6, batch_size=10, seed=4)])
    for epoch in np.split(labels, 2):
        np.testing.assert_array_equal(np.bincount(epoch), [archives.PER_CLASS] * archives.NUM_CLASSES)
    orders = [imagenet_rows.epoch_order(seed, epoch, 1000) for seed in (4, 5) for epoch in (0, 1)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    # Two random orders agree in one place on average.
    assert max(np.sum(a == b) for i, a in enumerate(orders) for b in orders[:i]) < 10


def test_a_row_is_the_view_of_its_record(prepared):
    """Position p of the run: epoch p // n, record order[p % n], noise of p. Batch 4 begins in the second epoch."""
    records = read_all(prepared, "train")
    batch = take(prepared, 1, seed=1, start_step=4)[0]
    for row in range(8):
        epoch, rank = divmod(4 * 8 + row, NUM_TRAIN)
        record = records[imagenet_rows.epoch_order(1, epoch, NUM_TRAIN)[rank]]
        view = augmentation.training_view(record["image"], 24, augmentation.uniforms(1, 4 * 8 + row))
        np.testing.assert_array_equal(batch["image"][row], view)
        assert batch["label"][row] == record["label"]


def test_hosts_share_the_batches_out(prepared, nine):
    parts = [take(prepared, 2, seed=1, start_step=3, shard_index=i, shard_count=4) for i in range(4)]
    for step in range(2):
        for name in ("image", "label"):
            joined = np.concatenate([part[step][name] for part in parts])
            np.testing.assert_array_equal(joined, nine[3 + step][name])


@pytest.mark.parametrize("eval_crop", [False, True])
def test_validation_is_every_image_once_and_padding(prepared, eval_crop):
    records = read_all(prepared, "validation")
    with imagenet2012.validation_batches(prepared, 4, 24, eval_crop) as batches:
        found = list(batches)
    np.testing.assert_array_equal([batch["mask"].sum() for batch in found], [4, 4, 2])
    assert found[0]["mask"].dtype == np.bool_ and not found[2]["mask"][2:].any()
    assert not found[2]["image"][2:].any()
    images = np.concatenate([batch["image"] for batch in found])[:10]
    labels = np.concatenate([batch["label"] for batch in found])[:10]
    for record, image, label in zip(records, images, labels, strict=True):
        np.testing.assert_array_equal(image, augmentation.validation_view(record["image"], 24, eval_crop))
        assert label == record["label"]
    parts = [list(imagenet2012.validation_batches(prepared, 4, 24, eval_crop, i, 2)) for i in range(2)]
    joined = [{name: np.concatenate([a[name], b[name]]) for name in a} for a, b in zip(*parts, strict=True)]
    assert_same(joined, found)


def test_tensorflow_datasets_reads_the_same_records(prepared):
    """By the stock builder, without TensorFlow, in the order in which it would have written them."""
    source = tfds.builder("imagenet2012", data_dir=prepared).as_data_source()
    assert {split: len(source[split]) for split in source} == imagenet2012.num_examples(prepared)
    for split in ("train", "validation"):
        theirs, ours = list(source[split]), read_all(prepared, split)
        names = [record["file_name"] for record in theirs]
        assert names == sorted(names, key=lambda name: hashlib.md5(split.encode() + name).hexdigest())
        for record, other in zip(theirs, ours, strict=True):
            assert record["label"] == other["label"]
            assert record["file_name"] == other["file_name"]
    classes = {f"ILSVRC2012_val_{i + 1:08d}.JPEG".encode(): archives.VALIDATION_CLASSES[i] for i in range(10)}
    assert {record["file_name"]: record["label"] for record in source["validation"]} == classes
    train = {record["file_name"].decode(): record for record in source["train"]}
    for name, record in train.items():
        assert record["label"] == archives.SYNSETS.index(name.split("_")[0])
    first, second = archives.SYNSETS[:2]
    assert np.abs(train[f"{first}_1.JPEG"]["image"].astype(int) - (49, 225, 225)).max() <= 3  # it was CMYK
    assert np.abs(train[f"{second}_2.JPEG"]["image"].astype(int) - (10, 20, 200)).max() <= 3  # it was PNG


def test_normalise():
    image = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    expected = (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    result = imagenet2012.normalise(jnp.asarray(image))
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, expected, atol=2e-6)


def test_a_broken_image_is_one_line(folder):
    shard = imagenet_files.shard_name("train", 1, 4)
    records = raw_records(folder / shard)
    records[2] = records[2].replace(b"\xff\xd9", b"\0\0")  # no longer ends as a JPEG file
    imagenet_writer.write_records(folder / shard, iter(records))
    with (
        pytest.raises(imagenet2012.BrokenImage) as error,
        imagenet2012.train_batches(folder, 6, 24, seed=0) as batches,
    ):
        for _ in range(6):
            next(batches)
    offset = imagenet_files.find(folder)["train"][0].examples_in_shard
    assert f"record {offset + 2} (n0" in str(error.value) and shard in str(error.value)
    assert "a JPEG file that was cut" in str(error.value) and "\n" not in str(error.value)
    assert next(batches, "closed") == "closed"


def test_a_broken_record_file_is_one_line(folder):
    shard = folder / imagenet_files.shard_name("validation", 0, 2)
    records = raw_records(shard)
    imagenet_writer.write_records(shard, iter([b"\x0f", *records[1:]]))
    with pytest.raises(imagenet2012.BrokenImage, match=r"record 0 \(without a name\).*not a tf\.train\.Example"):
        next(imagenet2012.validation_batches(folder, 4, 24))
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(imagenet2012.BrokenImage) as error:
        next(imagenet2012.validation_batches(folder, 4, 24))
    assert shard.name in str(error.value) and "\n" not in str(error.value)


def test_the_folder_is_found_and_checked(prepared, folder, tmp_path):
    for data_dir in (prepared, str(prepared), epath.Path(prepared), prepared / "imagenet2012" / "5.1.0"):
        imagenet2012.check(data_dir)
    assert imagenet2012.num_examples(prepared) == {"train": NUM_TRAIN, "validation": 10}
    folder.rename(folder.with_name("5.0.0"))  # what older versions wrote, the records are the same
    imagenet2012.check(tmp_path / "copy")


def spoil(folder, change):
    info = json.loads((folder / "dataset_info.json").read_text())
    change(info)
    (folder / "dataset_info.json").write_text(json.dumps(info))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (shutil.rmtree, "no such folder"),
        (lambda f: (f / "dataset_info.json").unlink(), r"has no imagenet2012/5\.1\.0/dataset_info\.json"),
        (lambda f: (f / "dataset_info.json").write_text("{"), "is not metadata"),
        (lambda f: spoil(f, lambda info: info.update(fileFormat="tfrecord")), "in tfrecord files, allowed: .*array_r"),
        (lambda f: spoil(f, lambda info: info["splits"].pop()), "lacks split validation"),
        (
            lambda f: (f / imagenet_files.shard_name("train", 2, 4)).unlink(),
            "lacks 1 of 4 files of split train, first imagenet2012-train.array_record-00002-of-00004",
        ),
    ],
)
def test_a_missing_part_is_named(folder, damage, said):
    damage(folder)
    for act in (imagenet2012.check, lambda f: imagenet2012.train_batches(f, 8, 24)):
        with pytest.raises(ValueError, match=said) as error:
            act(folder)
        assert "\n" not in str(error.value)


def test_hosts_that_do_not_divide_the_batch_are_refused(prepared):
    with pytest.raises(ValueError, match="batch_size: got 9, allowed: multiples of the 2 hosts"):
        imagenet2012.train_batches(prepared, 9, shard_count=2)
    with pytest.raises(ValueError, match="shard_index: got 2"):
        imagenet2012.train_batches(prepared, 8, shard_index=2, shard_count=2)


def raw_records(path):
    from grain import sources

    return list(sources.ArrayRecordDataSource([str(path)]))


def read_all(data_dir, split):
    records = [tf_example.decode(r) for s in imagenet_files.find(data_dir)[split] for r in raw_records(s.filename)]
    return [{**{k: v[0] for k, v in r.items()}, "image": jpeg.decode(r["image"][0])} for r in records]


FORGETS = """
import sys
from maxrl_jax.vision.imagenet2012 import source as imagenet2012
if __name__ == "__main__":
    batches = imagenet2012.train_batches(sys.argv[1], 8, 24, num_workers=1)
    print(next(batches)["label"].shape)
"""


def test_an_iterator_that_is_forgotten_ends_quietly(prepared, tmp_path):
    (tmp_path / "forgets.py").write_text(FORGETS)
    done = subprocess.run(
        [sys.executable, tmp_path / "forgets.py", prepared], capture_output=True, check=False, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "(8,)\n", "")
