"""Fixtures shared by every test."""

import os

from tests.xla_flags import FLAGS

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("WANDB_MODE", "disabled")
os.environ.setdefault("XLA_FLAGS", FLAGS)

import jax
import pytest


@pytest.fixture
def x64():
    """Computes in float64 for the length of one test."""
    with jax.enable_x64(True):
        yield
