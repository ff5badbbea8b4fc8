"""Fixtures of the tests of the shared run parts."""

import pathlib

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from tests.training.runs import Toy, deterministic


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
    """The tests of this folder compile the same small programs again and again: keep them on disk."""
    names = {
        "jax_compilation_cache_dir": str(toy.cache),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in names}
    for name, value in names.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope="session")
def uninterrupted(toy, tmp_path_factory) -> pathlib.Path:
    """The folder of a two-phase run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    ended = toy.run(folder)
    assert ended.status == 0, ended.err
    assert "final/params_sha256" in deterministic(folder)[-1]
    return folder
