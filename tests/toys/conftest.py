"""Tests of the toys count compiled programs, so they begin with JAX's shared cache of them empty.

The cache is one for the whole process and drops old entries when it is full, which a long test session brings about.
"""

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def empty_caches():
    jax.clear_caches()
