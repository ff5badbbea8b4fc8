"""The benchmark counts what it says it counts and prints one JSON object."""

import json

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from benchmarks import maze_generation


def count(function, *arguments):
    return maze_generation.count_operations(jax.make_jaxpr(function)(*arguments).jaxpr, while_trips=5)


def test_operations_are_counted():
    x = jnp.arange(10, dtype=jnp.uint32)
    assert count(lambda x: (x ^ (x << 1)) + x, x) == 3 * 10
    assert count(lambda x: x.reshape(2, 5).T, x) == 0
    assert count(jax.jit(lambda x: x + x), x) == 10
    assert count(lambda x: lax.fori_loop(0, 7, lambda _, x: x * x, x), x) == 7 * (10 + 1)  # and the index
    # Five trips of one comparison of a scalar and one sum each.
    assert count(lambda i: lax.while_loop(lambda i: i < 9, lambda i: i + 1, i), 0) == 5 * 2
    assert count(lambda x: lax.reduce_xor(x, axes=(0,)), x) == 10
    assert count(lambda key: jax.random.bits(key, (10,), jnp.uint32), jax.random.key(0)) == 10 * 120


def test_it_prints_one_json_object(capsys):
    assert maze_generation.main(["--size", "5", "--mazes", "8", "--repeats", "3"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["mazes_per_second"] == pytest.approx(8 / result["seconds_median"], rel=1e-3)
    assert result["seconds_min"] <= result["seconds_median"] <= result["seconds_max"]
    # Walls, a solution of 4 moves, DONE and <eos>, its length, and 3 random words written and read.
    assert result["bytes_per_maze"] == 25 + 4 * 6 + 4 + 2 * 4 * 3
    assert result["operations_per_maze"] > 4 * 120
    assert result["share_of_operation_rate"] > 0
    assert result["machine"]["jax"] == jax.__version__
