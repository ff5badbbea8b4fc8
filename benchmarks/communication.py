"""Communication between the devices of a run in one maze RL step, counted in the compiled program.

    python -m benchmarks.communication --devices 8 --fsdp 1 --config configs/maze.py:tiny --set rl.num_prompts=16

Prints one JSON object. The step is compiled for that many simulated CPU devices and not run: the collectives, their
number and their bytes are read from the program, so they depend on no clock and on no load. For an accelerator the
same partitioner cuts the same program; fusion of collectives, and so their number, may differ, their bytes not.

`bytes` are those of the arrays that are reduced or gathered, `wire_bytes` what one device sends for them round a ring:
2 (D - 1) / D of an all-reduce over D devices, (D - 1) / D of an all-gather's result or a reduce-scatter's operand.
`in_loops` counts collectives in loops whose length the program does not know: a decoding loop would be one.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_BITS = {"pred": 8, "bf16": 16, "f16": 16, "f32": 32, "f64": 64} | {
    f"{sign}{bits}": bits for sign in "su" for bits in (8, 16, 32, 64)
}


class Collective(NamedTuple):
    """One collective operation of a program.

    Attributes:
        kind: one of `KINDS`.
        size: bytes of its results on one device.
        group: devices that take part together.
        times: how often a call of the program runs it; None when a loop's length is not known.
        loops: loops that it stands in.
    """

    kind: str
    size: int
    group: int
    times: int | None
    loops: int = 0

    @property
    def payload(self) -> int:
        """Bytes of the whole array: a reduce-scatter's operand is `group` times its result."""
        return self.size * (self.group if self.kind == "reduce-scatter" else 1)

    @property
    def wire(self) -> float:
        """Bytes one device sends, round a ring."""
        share = (self.group - 1) / self.group
        return self.payload * {"all-reduce": 2 * share, "collective-permute": 1.0}.get(self.kind, share)


def collectives(program: str, num_devices: int, turns: tuple[int, ...] = ()) -> list[Collective]:
    """The collectives of a compiled program's text (`jax.stages.Compiled.as_text`).

    `turns` are those of loops whose length the program does not know, the outermost of each nest first.
    """
    bodies = dict(_computations(program))
    entry = next(name for name in bodies if name.startswith("ENTRY "))
    found: list[Collective] = []

    def visit(name: str, times: int | None, loops: int, turns: tuple[int | None, ...]) -> None:
        for line in bodies[name]:
            made = _collective(line, num_devices, times)
            if made is not None:
                found.append(made._replace(loops=loops))
            if re.search(r"\bto_apply=", line):
                continue  # the scalar function of a reduction
            loop, left = " while(" in line, turns
            trips = _trips(line) if loop else 1
            if trips is None:
                trips, left = (turns or (None,))[0], turns[1:]
            inner = None if times is None or trips is None else times * trips
            for called in re.findall(r"(?:calls|body|branch_computations)=\{?((?:%[\w.-]+(?:, )?)+)", line):
                for each in re.findall(r"%([\w.-]+)", called):
                    if each in bodies:
                        visit(each, inner, loops + loop, left)

    visit(entry, 1, 0, turns)
    return found


def _computations(program: str) -> Iterator[tuple[str, list[str]]]:
    """(name, lines) of every computation; the entry's name has "ENTRY " before it."""
    name, lines = "", []
    for line in program.splitlines():
        head = re.match(r"(ENTRY )?%([\w.-]+) \(.*\{$", line)
        if head:
            name, lines = (head.group(1) or "") + head.group(2), []
        elif line == "}":
            yield name, lines
        else:
            lines.append(line)


def _collective(line: str, num_devices: int, times: int | None) -> Collective | None:
    found = re.search(rf"= (\(.*?\)|\S+) ({'|'.join(KINDS)})(?:-start)?\(", line)
    if not found:
        return None
    shapes = re.findall(r"\b([a-z]\w*)\[([\d,]*)\]", found.group(1))
    size = sum(_BITS[kind] // 8 * math.prod(int(n) for n in dims.split(",") if n) for kind, dims in shapes)
    group = _group_size(line) or num_devices
    return Collective(found.group(2), size, group, times)


def _group_size(line: str) -> int:
    """Devices of one group, in each of the three ways XLA writes it; 0 where all devices are one."""
    if listed := re.search(r"replica_groups=\{\{([\d,]+)\}", line):
        return len(listed.group(1).split(","))
    if tiled := re.search(r"replica_groups=\[\d+,(\d+)\]", line):
        return int(tiled.group(1))
    if mesh := re.search(r"replica_groups=mesh\[([^\]]*)\].*? \{([^}]*)\}", line):
        sizes = dict(axis.split("=") for axis in mesh.group(1).split(","))
        return math.prod(int(sizes[axis.strip()]) for axis in mesh.group(2).split(","))
    return 0


def _trips(line: str) -> int | None:
    known = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', line)
    return int(known.group(1)) if known else None


def summary(found: list[Collective]) -> dict[str, Any]:
    """By kind: how many, their bytes, and what a device sends for them in one step."""
    kinds = {}
    for kind in KINDS:
        some = [c for c in found if c.kind == kind and c.group > 1]
        if some:
            counted = [c for c in some if c.times is not None]
            kinds[kind] = {
                "count": sum(c.times or 0 for c in counted),
                "bytes": sum(c.payload * (c.times or 0) for c in counted),
                "wire_bytes": round(sum(c.wire * (c.times or 0) for c in counted)),
                "in_loops": len(some) - len(counted),
            }
    return kinds


def compile_step(config: Any) -> tuple[str, int]:
    """The program of one RL step of a maze config, as text, and the bytes of its parameters."""
    from experiments.lm import training
    from experiments.lm.tasks import table
    from maxrl_jax.devices import sharding
    from maxrl_jax.lm.step import PROVIDES
    from maxrl_jax.runs.config import estimator

    setup = table.set_up(config)
    ((_, advantage), *_) = estimator.phases(
        config, "rl.advantage", num_rollouts=config.rl.num_rollouts, provides=PROVIDES
    )
    state = jax.eval_shape(lambda: training.make_state(setup, setup.init_params()))
    placed = jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        state,
        sharding.parameter_shardings(setup.mesh, state),
    )
    steps = jax.ShapeDtypeStruct((1,), jax.numpy.int32)
    outputs = jax.tree.map(lambda leaf: leaf.sharding, placed), sharding.replicated(setup.mesh)
    chunk = jax.jit(training.make_chunk(setup, [(0, advantage)]), donate_argnums=0, out_shardings=outputs)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state["params"]))
    return chunk.lower(placed, steps).compile().as_text(), size


def main(arguments: list[str] | None = None) -> None:
    """Compiles the step, counts, and prints."""
    from benchmarks.measure import machine
    from experiments.lm.check import check
    from maxrl_jax.errors import ConfigError
    from maxrl_jax.runs.config.load import load
    from maxrl_jax.runs.config.override import override

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--fsdp", type=int, default=1, help="devices that share one copy of the parameters")
    parser.add_argument("--config", default="configs/maze.py:tiny")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="a field of the config")
    options = parser.parse_args(arguments)
    jax.config.update("jax_num_cpu_devices", options.devices)
    overrides = [f"--config.{text}" for text in (f"mesh.fsdp={options.fsdp}", *options.set)]
    try:
        config = override(load(options.config), overrides)
        check(config)
    except ConfigError as error:
        parser.exit(2, f"error: {error}\n")
    program, parameter_bytes = compile_step(config)
    kinds = summary(collectives(program, options.devices))
    result = {
        "devices": options.devices,
        "fsdp": options.fsdp,
        "parameter_bytes": parameter_bytes,
        "collectives": kinds,
        "wire_bytes": sum(kind["wire_bytes"] for kind in kinds.values()),
        "in_loops": sum(kind["in_loops"] for kind in kinds.values()),
        "settings": vars(options),
        "machine": machine(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
