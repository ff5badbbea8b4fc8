import jax
import pytest


@pytest.fixture(autouse=True)
def full_matmul_precision():
    """Equivalences hold on accelerators too, whose default product of float32 is coarser."""
    with jax.default_matmul_precision("highest"):
        yield
