"""Fixtures of the tests of the shared run parts."""

import pathlib

import pytest

from tests.runs.runs import Toy, deterministic


@pytest.fixture(scope="session")
def toy() -> Toy:
    """The toy driver, started as a process."""
    return Toy()


@pytest.fixture(autouse=True)
def nothing_left_running(toy):
    """Ends the processes a test started."""
    yield
    toy.end_all()


@pytest.fixture(scope="session")
def uninterrupted(toy, tmp_path_factory) -> pathlib.Path:
    """The folder of a two-phase run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    ended = toy.run(folder)
    assert ended.status == 0, ended.err
    records = deterministic(folder)
    assert "final/params_sha256" in records[-1]
    for name, steps in {"sft/loss": 10, "train/loss": 30}.items():
        assert [record["step"] for record in records if name in record] == list(range(steps))
    return folder
