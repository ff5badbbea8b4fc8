import json
import math

import numpy as np
import pytest
from etils import epath
from etils.epath import gpath

from maxrl_jax.runs.folder import metric_writer, resume
from maxrl_jax.runs.folder.metric_writer import LineFile, encode, read_lines, read_metrics
from tests.runs import small


def lines(count):
    return [encode(i, {"train/loss": i / 3}) for i in range(count)]


@pytest.mark.parametrize("torn", ["", '{"step": 3, "tr', "\x00\x00\x00", '"text"\n'])
def test_a_torn_last_line_is_cut_off(tmp_path, torn):
    (tmp_path / "metrics.jsonl").write_text("".join(line + "\n" for line in lines(3)) + torn)
    assert read_lines(tmp_path) == lines(3)
    file = LineFile(epath.Path(tmp_path))
    assert file.num_lines == 3
    file.append([encode(3, {"train/loss": 1.0})])
    file.close()
    assert [r["step"] for r in read_metrics(tmp_path)] == [0, 1, 2, 3]
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 4


def test_cut_returns_what_it_drops(tmp_path):
    file = LineFile(epath.Path(tmp_path))
    file.append(lines(5))
    assert file.cut(2) == lines(5)[2:]
    file.append(["{}"])
    file.close()
    assert (tmp_path / "metrics.jsonl").read_text().splitlines() == [*lines(2), "{}"]


def test_values_become_json():
    value = {
        "a": np.float32(0.1), "b": np.arange(3), "c": math.nan, "d": [1.0, math.inf], "e": "text", "f": True,
        "g": np.array(2), "h": None,
    }  # fmt: skip
    record = json.loads(encode(np.int64(4), value))
    assert record == {
        "step": 4, "a": float(np.float32(0.1)), "b": [0, 1, 2], "c": None, "d": [1.0, None], "e": "text",
        "f": True, "g": 2, "h": None,
    }  # fmt: skip


class Bucket(type(epath.Path("/"))):
    """A store that cannot append, as object stores cannot; a file is put whole."""

    def open(self, mode="r", **keywords):
        if "a" in mode or "+" in mode:
            raise NotImplementedError(f"mode {mode}: objects are immutable")
        return super().open(mode, **keywords)


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """epath.Path gives paths of the store."""
    monkeypatch.setattr(gpath, "PosixGPath", Bucket)
    monkeypatch.setattr(epath, "Path", Bucket)
    return Bucket(tmp_path)


def test_without_append_segments_are_read_as_one(bucket, monkeypatch):
    monkeypatch.setattr(metric_writer, "SEGMENT_SECONDS", 0.0)
    file = LineFile(bucket)
    for line in lines(4):
        file.append([line])
    assert read_lines(bucket) == lines(4)
    file.close()
    names = sorted(p.name for p in bucket.iterdir())
    assert names == [f"metrics-{i:06d}.jsonl" for i in range(5)]
    again = LineFile(bucket)
    assert again.num_lines == 4
    assert again.cut(3) == lines(4)[3:]
    again.append(lines(5)[3:])
    again.close()
    assert read_lines(bucket) == lines(5)


def test_segments_wait_for_a_checkpoint(bucket):
    file = LineFile(bucket)
    file.append(lines(2))
    assert read_lines(bucket) == []
    file.sync()
    assert read_lines(bucket) == lines(2)
    assert file.num_lines == 2


def test_a_run_on_a_store_without_append_equals_one_with(bucket, tmp_path):
    whole = small.run(tmp_path / "b")[1]
    small.run(tmp_path / "a", num_steps=6)
    assert small.run(tmp_path / "a")[1] == whole
    assert not (tmp_path / "a/metrics.jsonl").exists()
    for name in ("a", "b"):
        records = [r for r in read_metrics(tmp_path / name) if "train/loss" in r]
        assert [r["step"] for r in records] == list(range(12))
    assert resume.finished(tmp_path / "a")


def test_write_whole_leaves_the_old_text_when_it_is_stopped(tmp_path, monkeypatch):
    path = epath.Path(tmp_path) / "config.json"
    metric_writer.write_whole(path, "old")
    metric_writer.write_whole(path, "new")
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]

    def full(self, content):
        (tmp_path / self.name).write_text(content.decode()[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        metric_writer.write_whole(path, "newer")
    assert path.read_text() == "new"


def test_a_folder_without_metrics_has_no_lines(tmp_path):
    assert read_metrics(tmp_path) == []
    assert read_metrics(tmp_path / "absent") == []
    assert not resume.finished(tmp_path)
