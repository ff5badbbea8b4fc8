import jax
import pytest

from tests.compile_cache import kept_in


@pytest.fixture(autouse=True)
def full_matmul_precision():
    """Equivalences hold on accelerators too, whose default product of float32 is coarser."""
    with jax.default_matmul_precision("highest"):
        yield


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory):
    with kept_in(tmp_path_factory.mktemp("compiled")):
        yield
