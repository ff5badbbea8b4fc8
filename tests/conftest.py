"""Fixtures shared by every test."""

import atexit
import os
import shutil
import tempfile

from tests import shapes
from tests.xla_flags import FLAGS

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("WANDB_MODE", "disabled")
os.environ.setdefault("XLA_FLAGS", FLAGS)
# One compilation cache serves the session: every worker of pytest-xdist and every process a test starts inherits it.
# Set JAX_COMPILATION_CACHE_DIR to keep it from one session to the next.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jax_cache_")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax
import pytest

shapes.install()


@pytest.fixture
def x64():
    """Computes in float64 for the length of one test."""
    with jax.enable_x64(True):
        yield
