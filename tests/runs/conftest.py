"""Fixtures of the tests of the shared run parts."""

import pathlib

import pytest

from tests.compile_cache import kept_in
from tests.runs.runs import Toy, deterministic


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Toy:
    """The toy driver, started as a process."""
    return Toy(tmp_path_factory.mktemp("compiled"))


@pytest.fixture(autouse=True)
def nothing_left_running(toy):
    """Ends the processes a test started."""
    yield
    toy.end_all()


@pytest.fixture(scope="module", autouse=True)
def compile_once(toy):
    """Processes and tests share one cache."""
    with kept_in(toy.cache):
        yield


@pytest.fixture(scope="session")
def uninterrupted(toy, tmp_path_factory) -> pathlib.Path:
    """The folder of a two-phase run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    ended = toy.run(folder)
    assert ended.status == 0, ended.err
    assert "final/params_sha256" in deterministic(folder)[-1]
    return folder
