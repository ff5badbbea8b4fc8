"""The whole way: two archives of real JPEG files, prepared, read by Grain, trained on, stopped and resumed."""

import pytest

from experiments.imagenet import prepare
from experiments.imagenet.__main__ import run
from experiments.imagenet.checks import check
from tests.experiments.imagenet.small import lines, small
from tests.vision import archives

pytestmark = pytest.mark.slow

FROM_FILES = {
    "data__name": "imagenet2012",
    "data__num_classes": 1000,
    "data__num_workers": 0,
    "eval__gradient_norm_step": 0,
    "steps": 5,  # of 8 images, of 30: the second epoch too
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    made = archives.make(folder / "archives", {f"{archives.SYNSETS[0]}_1.JPEG": archives.cmyk()})
    prepare.prepare(made, folder / "prepared", num_threads=2, subset=True, num_shards={"train": 4, "validation": 2})
    return str(folder / "prepared")


def test_archives_to_a_trained_and_resumed_run(data_dir, tmp_path):
    config = small(data__dir=data_dir, **FROM_FILES)
    check(config)
    whole = run(config, tmp_path / "whole")
    run(small(data__dir=data_dir, **{**FROM_FILES, "steps": 3}), tmp_path / "stopped")
    resumed = run(config, tmp_path / "stopped")
    assert resumed == whole
    assert lines(tmp_path / "stopped", "train/") == lines(tmp_path / "whole", "train/")
    last = lines(tmp_path / "whole", "eval/")[-1]
    assert last["step"] == 5 and 0 < last["eval/pass@1"] < last["eval/pass@256"] <= 1
