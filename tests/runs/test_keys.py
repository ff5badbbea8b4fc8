import zlib

import jax
import numpy as np
import pytest

from maxrl_jax import keys


def data(key):
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


def test_stream_is_the_documented_formula():
    base = jax.random.fold_in(jax.random.key(7), zlib.crc32(b"rollouts"))
    assert data(keys.stream(7, "rollouts", 3)) == data(jax.random.fold_in(base, 3))


def test_seeds_names_and_steps_all_give_different_keys():
    found = {data(keys.stream(s, n, i)) for s in (0, 1, 2) for n in ("data", "init", "eval") for i in range(5)}
    assert len(found) == 3 * 3 * 5


def test_a_traced_step_and_seed_give_the_same_key():
    traced = jax.jit(lambda seed, i: keys.stream(seed, "data", i))(5, 9)
    assert data(traced) == data(keys.stream(5, "data", 9))


def test_a_key_in_place_of_the_seed_makes_a_nested_stream():
    outer = keys.stream(0, "eval", 2)
    assert data(keys.stream(outer, "mazes", 1)) != data(keys.stream(0, "mazes", 1))
    assert data(keys.stream(jax.random.key(4), "a")) == data(keys.stream(4, "a"))


def test_an_empty_name_is_refused():
    with pytest.raises(ValueError, match="needs a name"):
        keys.stream(0, "")
