import pytest

from experiments.imagenet import prepare
from tests.vision import archives

NUM_SHARDS = {"train": 4, "validation": 2}


@pytest.fixture(scope="session")
def small_archives(tmp_path_factory):
    """Both archives with a CMYK and a PNG file hidden among the JPEG files."""
    special = {f"{archives.SYNSETS[0]}_1.JPEG": archives.CMYK, f"{archives.SYNSETS[1]}_2.JPEG": archives.PNG}
    return archives.make(tmp_path_factory.mktemp("archives"), special)


@pytest.fixture(scope="session")
def prepared(small_archives, tmp_path_factory):
    """A data_dir made from them."""
    data_dir = tmp_path_factory.mktemp("prepared")
    prepare.prepare(small_archives, data_dir, num_threads=2, subset=True, num_shards=NUM_SHARDS)
    return data_dir
