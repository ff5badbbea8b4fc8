"""How many mazes a second the generator makes, and what bounds it.

    python -m benchmarks.maze_generation --size 17 --mazes 20000

prints one JSON object. A call makes ``--mazes`` mazes from a fresh key (walls, solutions and their lengths), with the
result ready on the device; compiling and one warm-up call are left out, and the rate is that of the median call.

The roofline beside it: ``operations_per_maze`` counts the 32-bit operations of the traced program, elementwise ones
once an element and a threefry hash as 120, loops as often as they run; ``bytes_per_maze`` counts the results and the
random words, each written once, the words also read once (the state of the loops stays in the cache). Both are
compared with rates measured on the same device by a chain of shifts and exclusive ors and by adding 1 to a large array.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.measure import machine
from maxrl_jax.tasks import maze

HASH_OPERATIONS = 120  # threefry2x32: 20 rounds of add, rotate (3) and exclusive or, and 5 key injections
_MOVES_DATA = {  # primitives that compute nothing
    "broadcast_in_dim", "concatenate", "convert_element_type", "copy", "dynamic_slice", "iota", "pad", "random_wrap",
    "random_unwrap", "reshape", "slice", "split", "squeeze", "transpose",
}  # fmt: skip
_HASHES = {"random_bits", "random_fold_in", "threefry2x32"}


def seconds(function: Callable, arguments: Iterable) -> list[float]:
    """Wall time of a call for each argument, with the result ready; the first argument warms up and is left out."""
    times = []
    for argument in arguments:
        start = time.perf_counter()
        jax.block_until_ready(function(argument))
        times.append(time.perf_counter() - start)
    return times[1:]


def count_operations(jaxpr, while_trips: int) -> int:
    """Elementwise operations of a traced program; loops of unknown length count ``while_trips`` times."""
    total = 0
    for equation in jaxpr.eqns:
        name, parameters = equation.primitive.name, equation.params
        size = sum(int(np.prod(out.aval.shape)) for out in equation.outvars)
        if name == "scan":
            total += parameters["length"] * count_operations(parameters["jaxpr"].jaxpr, while_trips)
        elif name == "while":
            parts = parameters["body_jaxpr"].jaxpr, parameters["cond_jaxpr"].jaxpr
            total += while_trips * sum(count_operations(part, while_trips) for part in parts)
        elif inner := parameters.get("jaxpr") or parameters.get("call_jaxpr"):
            total += count_operations(getattr(inner, "jaxpr", inner), while_trips)
        elif name in _HASHES:
            total += HASH_OPERATIONS * size
        elif name not in _MOVES_DATA:
            # A reduction costs its input.
            total += max(size, *(int(np.prod(v.aval.shape)) for v in equation.invars)) if equation.invars else size
    return total


def measured_operations_per_second() -> float:
    """32-bit integer operations a second of the device, in cache: 64 rounds of an xorshift (6 operations)."""
    elements, rounds, calls = 2**15, 64, 20

    def xorshift(_, x):
        for _ in range(rounds):
            x = x ^ (x << 13)
            x = x ^ (x >> 17)
            x = x ^ (x << 5)
        return x

    chain = jax.jit(lambda x: lax.fori_loop(0, calls, xorshift, x))
    times = seconds(chain, [jnp.arange(1, elements + 1, dtype=jnp.uint32)] * 8)
    return elements * rounds * calls * 6 / min(times)


def measured_bytes_per_second() -> float:
    """Bytes a second to and from the memory of the device: reads and writes 64 MiB."""
    increment = jax.jit(lambda x: x + 1)
    x = jnp.zeros(2**24, jnp.uint32)
    return 2 * x.nbytes / min(seconds(increment, [x] * 8))


def measure(size: int, num_mazes: int, repeats: int) -> dict:
    """Times ``repeats`` calls and returns the JSON object."""
    start = time.perf_counter()
    mazes = jax.block_until_ready(maze.generate(jax.random.key(0), num_mazes, size))
    seconds_first = time.perf_counter() - start
    keys = [jax.random.key(seed) for seed in range(repeats + 1)]
    times = seconds(lambda key: maze.generate(key, num_mazes, size), keys)
    median = statistics.median(times)

    traced = jax.make_jaxpr(lambda key: maze.generate(key, num_mazes, size))(keys[0])
    operations = count_operations(traced.jaxpr, int(mazes.num_moves.max()) // 2) / num_mazes
    random_words = ((size - 1) // 2) ** 2 - 1
    moved = sum(leaf.nbytes for leaf in jax.tree.leaves(mazes)) / num_mazes + 2 * 4 * random_words
    return {
        "benchmark": "maze_generation",
        "size": size,
        "mazes": num_mazes,
        "repeats": repeats,
        "mazes_per_second": round(num_mazes / median, 1),
        "seconds_median": median,
        "seconds_min": min(times),
        "seconds_max": max(times),
        "seconds_first_call": seconds_first,
        "operations_per_maze": round(operations),
        "bytes_per_maze": round(moved),
        "share_of_operation_rate": operations * num_mazes / median / measured_operations_per_second(),
        "share_of_memory_rate": moved * num_mazes / median / measured_bytes_per_second(),
        "machine": machine(),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line; a wrong argument is one line on stderr and exit status 2."""
    parser = argparse.ArgumentParser(description="Mazes per second.")
    parser.add_argument("--size", type=int, default=17, help="squares a side, odd and >= 5")
    parser.add_argument("--mazes", type=int, default=20_000, help="mazes a call")
    parser.add_argument("--repeats", type=int, default=15, help="timed calls")
    flags = parser.parse_args(arguments)
    try:
        maze.check_size(flags.size)
        for name in ("mazes", "repeats"):
            if getattr(flags, name) < 1:
                raise ValueError(f"--{name}: got {getattr(flags, name)}, allowed: integers >= 1")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(measure(flags.size, flags.mazes, flags.repeats)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
