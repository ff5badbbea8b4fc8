"""Chunks: several steps in one compiled call, cut at boundaries that are a function of the step alone."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from maxrl_jax.devices import sharding

Chunk = Callable[..., tuple[Any, Mapping[str, jax.Array]]]
"""``chunk(state, steps int32 [n]) -> (state, {name: [n, ...]})``, pure."""


class OnHost:
    """A chunk of a step with work on the host between compiled functions of its own.

    It consumes the state it is given, and keeps its shardings.
    """

    def __init__(self, step: Callable[[Any, int], tuple[Any, Mapping[str, Any]]]):
        self._step = step

    def __call__(self, state: Any, steps: np.ndarray) -> tuple[Any, Mapping[str, Any]]:
        """As a `Chunk`, with numbers."""
        found = []
        for index in steps:
            state, metrics = self._step(state, int(index))
            found.append(jax.device_get(metrics))
        return state, {name: np.stack([metrics[name] for metrics in found]) for name in found[0]}


def scan(step: Callable[[Any, jax.Array], tuple[Any, Mapping[str, jax.Array]]]) -> Chunk:
    """A chunk from one step: ``step(state, i) -> (state, metrics)`` scanned over ``steps`` int32 [n]."""

    def chunk(state: Any, steps: jax.Array) -> tuple[Any, Mapping[str, jax.Array]]:
        return jax.lax.scan(step, state, steps)

    return chunk


def boundary(
    step: int, num_steps: int, steps_per_call: int, cuts: Sequence[int] = (), starts: Sequence[int] = ()
) -> int:
    """Where the call that begins at ``step`` ends: a function of the step alone, not of where a run began.

    Args:
        step: first step of the call.
        num_steps: steps of the phase.
        steps_per_call: calls end at multiples of it,
        cuts: at multiples of each of these,
        starts: and at each of these steps.
    """
    ends = [num_steps, (step // steps_per_call + 1) * steps_per_call]
    ends += [(step // cut + 1) * cut for cut in cuts if cut > 0]
    ends += [start for start in starts if start > step]
    return min(ends)


class Calls:
    """The compiled chunks of a phase, by the step each begins at.

    Attributes:
        starts: the steps at which another chunk begins.
        starved: seconds in which the devices had nothing to do while the host fetched the last call's batches.
    """

    def __init__(
        self,
        chunk: Chunk | Sequence[tuple[int, Chunk]],
        state: Any,
        data: Callable[[int], Iterator[Any]] | None,
        step: int,
    ):
        """Jits the chunks with the state donated and its shardings kept; the data begins at ``step``."""
        phases = [(0, chunk)] if callable(chunk) else sorted(chunk, key=lambda entry: entry[0])
        shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
        mesh = sharding.mesh_of(state)
        everywhere = sharding.replicated(mesh) if mesh else None
        self.starts = [first for first, _ in phases]
        self._phases = [
            (first, function if isinstance(function, OnHost) else self._jitted(function, shardings, everywhere))
            for first, function in phases
        ]
        self._seen: set[tuple[int, int]] = set()
        self._mesh = mesh
        self._batches = data(step) if data else None
        self._metrics: Mapping[str, jax.Array] = {}
        self.starved = 0.0

    @staticmethod
    def _jitted(function: Chunk, shardings: Any, everywhere: Any) -> Chunk:
        return jax.jit(function, donate_argnums=0, out_shardings=(shardings, everywhere))

    def close(self) -> None:
        """Ends the data's iterator, whose workers would otherwise outlive the phase."""
        close = getattr(self._batches, "close", None)  # generators and grain's iterators have it, others not
        if close is not None:
            close()

    def compiles(self, step: int, end: int) -> bool:
        """Whether this call is the first of its length in its phase of chunks."""
        first, _ = self._at(step)
        new = (first, end - step) not in self._seen
        self._seen.add((first, end - step))
        return new

    def __call__(self, state: Any, step: int, end: int) -> tuple[Any, Mapping[str, jax.Array]]:
        """Dispatches the steps from ``step`` up to ``end``; the state given is consumed."""
        _, function = self._at(step)
        steps = np.arange(step, end, dtype=np.int32)
        if self._batches is None:
            return function(state, steps)
        self.starved = 0.0
        stack = [self._fetch(self._batches) for _ in range(step, end)]
        batches = jax.tree.map(lambda *leaves: np.stack(leaves), *stack)
        state, self._metrics = function(state, steps, sharding.shard_batch(batches, self._mesh, axis=1))
        return state, self._metrics

    def _fetch(self, batches: Iterator[Any]) -> Any:
        """The next batch; its time counts as starved when the call before is done at its start."""
        idle = all(leaf.is_ready() for leaf in jax.tree.leaves(self._metrics))
        began = time.perf_counter()
        batch = next(batches)
        self.starved += (time.perf_counter() - began) * idle
        return batch

    def _at(self, step: int) -> tuple[int, Any]:
        return [entry for entry in self._phases if entry[0] <= step][-1]
