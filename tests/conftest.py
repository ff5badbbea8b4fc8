"""Fixtures shared by every test."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("WANDB_MODE", "disabled")
# Most of the time of the tests is compiling: half of it is LLVM's optimisation of programs that run once.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax
import pytest


@pytest.fixture
def x64():
    """Computes in float64 for the length of one test."""
    with jax.enable_x64(True):
        yield
