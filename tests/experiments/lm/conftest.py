import pytest

from experiments.lm.__main__ import check, run
from tests.experiments.lm.small import small, words


def _finished(folder, config):
    check(config)
    run(config, folder)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a finished run on mazes of two SFT and two RL steps."""
    return _finished(tmp_path_factory.mktemp("maze") / "run", small())


@pytest.fixture(scope="session")
def finished_words(tmp_path_factory):
    """The same on word problems."""
    return _finished(tmp_path_factory.mktemp("words") / "run", words())
