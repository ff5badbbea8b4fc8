import pytest

from experiments.maze.__main__ import run
from experiments.maze.checks import check
from tests.compile_cache import kept_in
from tests.experiments.maze.small import small


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory):
    with kept_in(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a finished run of two SFT and two RL steps."""
    folder = tmp_path_factory.mktemp("maze") / "run"
    config = small()
    check(config)
    run(config, folder)
    return folder
