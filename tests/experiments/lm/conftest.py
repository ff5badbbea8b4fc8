import pytest

from experiments.lm.__main__ import check, run
from tests.compile_cache import kept_in
from tests.experiments.lm.small import small, words


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory):
    with kept_in(tmp_path_factory.mktemp("compiled")):
        yield


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
