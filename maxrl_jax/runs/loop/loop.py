"""The host loop every driver shares: several steps a call, metrics fetched one call late, exact resume.

The loop's calls are cut at boundaries that are a function of the step alone, so an interrupted and resumed
run makes the same calls as an uninterrupted one, and ends with bitwise the same state.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from maxrl_jax.runs.devices import sharding
from maxrl_jax.runs.folder import checkpoint
from maxrl_jax.runs.folder.folder import Run
from maxrl_jax.runs.folder.stopping import Interrupted, NotFinite
from maxrl_jax.runs.loop.chunks import Calls, Chunk
from maxrl_jax.runs.loop.chunks import boundary as boundary
from maxrl_jax.runs.loop.chunks import scan as scan


@dataclasses.dataclass(frozen=True)
class Every:
    """Something done on the host between calls, such as an evaluation.

    Attributes:
        steps: done after each so many steps; 0 for never but at the ends.
        action: ``action(state, step) -> {"eval/name": value} or None``, step = updates done. What it returns
            is logged at that step. It must not keep the state, whose memory the next call reuses.
        at_start: also before the first step.
        at_end: also after the last step.
        at_steps: also after exactly these numbers of steps.
    """

    steps: int
    action: Callable[[Any, int], Mapping[str, Any] | None]
    at_start: bool = False
    at_end: bool = True
    at_steps: Sequence[int] = ()

    def due(self, step: int, num_steps: int) -> bool:
        """Whether it is done after ``step`` of ``num_steps`` updates."""
        if step == 0:
            return self.at_start
        if (step == num_steps and self.at_end) or step in self.at_steps:
            return True
        return self.steps > 0 and step % self.steps == 0


def run_steps(
    run: Run,
    prefix: str,
    state: Any,
    chunk: Chunk | Sequence[tuple[int, Chunk]],
    num_steps: int,
    chunk_steps: int = 1,
    *,
    every: Sequence[Every] = (),
    data: Callable[[int], Iterator[Any]] | None = None,
    finite: Sequence[str] = ("loss", "gradient_norm"),
    show: Sequence[str] = ("loss", "reward_mean"),
    rates: Mapping[str, float] | None = None,
) -> Any:
    """Runs one phase of a run from where it stands to ``num_steps``, logging and saving as it goes.

    Args:
        run: the open run folder.
        prefix: the phase's name and the prefix of its metrics: sft, train.
        state: pytree of arrays before step 0, placed with the shardings it keeps (when some leaves are on a mesh,
            the others are replicated over it). It is copied; each call consumes the copy. For a given first
            checkpoint it has an entry ``params``.
        chunk: pure ``chunk(state, steps int32 [n]) -> (state, {name: [n, ...]})`` (`scan` makes one), or
            phases ``[(first_step, chunk), ...]``; compiled once for every n that occurs. With ``data`` it
            takes a third argument, the steps' batches stacked: ``[n, ...]``.
        num_steps: steps of the phase; 0 to leave it out.
        chunk_steps: steps a call.
        every: what is done on the host between calls.
        data: ``data(step) -> iterator`` of host batches from that step on, one a step (this process's part of
            each); the data's position is the step.
        finite: metrics that stop the run when they are NaN or infinite.
        show: metrics shown live.
        rates: what a step gets through, by name, such as ``{"images": 256}``: logged as perf/images_per_second,
            beside perf/input_bound, the share of the time in which the devices had nothing to do but wait for
            ``data`` (0 without).

    Returns:
        The state after ``num_steps`` steps. When the run is resumed in a later phase, ``state`` as given.

    Raises:
        NotFinite: a metric of ``finite`` or a leaf of the state is not finite.
        Interrupted: SIGTERM or SIGINT; the run has saved.
        CheckpointError: a checkpoint cannot be written, or does not fit the state.
    """
    phase = _Phase(run, prefix, num_steps, tuple(finite), tuple(show), dict(rates or {}))
    state, step = phase.start(state)
    if step is None:
        return state
    cuts = [chunk_steps, run.config.checkpoint.every_steps, *(hook.steps for hook in every)]
    exact = [step for hook in every for step in hook.at_steps]
    if step == 0 and not phase.restored:
        phase.between(state, 0, every)
    run.progress.begin(prefix, step, num_steps)
    with contextlib.closing(Calls(chunk, state, data, step)) as calls:
        while step < num_steps:
            end = boundary(step, num_steps, chunk_steps, cuts, [*calls.starts, *exact])
            state = phase.dispatch(calls, state, step, end)
            step = end
            phase.end_of_call(state, step, every)
    run.progress.end()
    return state


class _Pending(NamedTuple):
    """A call whose metrics are still on the device; ``began`` is None when it was compiled first.

    ``starved`` are the seconds in which the devices waited for its batches.
    """

    first: int
    end: int
    metrics: Mapping[str, jax.Array]
    began: float | None
    starved: float


class _Phase:
    """The bookkeeping of one phase: restore, metrics, saves."""

    def __init__(
        self,
        run: Run,
        prefix: str,
        num_steps: int,
        finite: tuple[str, ...],
        show: tuple[str, ...],
        rates: dict[str, float],
    ):
        self.run, self.prefix, self.num_steps = run, prefix, num_steps
        self.finite, self.show, self.rates = finite, show, rates
        self.pending: _Pending | None = None
        self.restored = False
        self._fetched = 0.0  # when the metrics of the call before arrived

    def start(self, state: Any) -> tuple[Any, int | None]:
        """The state to begin with and its step; step None when the run is already in a later phase.

        Precedence: 1. the run's own checkpoint; 2. the given one (config.checkpoint.init_from), for the
        parameters of a new run's first phase; 3. the state as made.
        """
        run = self.run
        saved = run.saved
        if saved is not None and self.prefix in saved.position and self.prefix != saved.phase:
            run.position[self.prefix] = saved.position[self.prefix]
            return state, None
        mesh = sharding.mesh_of(state)
        state = jax.tree.map(lambda leaf: _own(leaf, mesh), state)
        if saved is not None and self.prefix == saved.phase:
            source = f"checkpoint {run.checkpoints.folder}/{saved.step}"
            state = checkpoint.place(saved.leaves, state, source)
            run.position[self.prefix] = saved.position[self.prefix]
            run.saved, self.restored = None, True
            return state, run.position[self.prefix]
        if saved is not None:
            raise RuntimeError(f"the run's checkpoint is of {saved}, and the run begins with {self.prefix}")
        if not run.position and run.config.checkpoint.init_from:
            state = _given(run, state)
        run.position[self.prefix] = 0
        return state, 0

    def dispatch(self, calls: Calls, state: Any, step: int, end: int) -> Any:
        """Starts a call and, while the device works on it, fetches the metrics of the one before."""
        began = None if calls.compiles(step, end) else time.perf_counter()
        state, metrics = calls(state, step, end)
        self.fetch()
        self.pending = _Pending(step, end, metrics, began, calls.starved)
        return state

    def end_of_call(self, state: Any, step: int, every: Sequence[Every]) -> None:
        """Does what is due after ``step`` steps: hooks, then the save, then the stop that was asked for."""
        run = self.run
        save = step == self.num_steps or _multiple(step, run.config.checkpoint.every_steps)
        if save or any(hook.due(step, self.num_steps) for hook in every):
            self.fetch()
            self.between(state, step, every)
        # Steps of all phases: the processes of a run agree on a number that never falls.
        signum = run.stop.at(sum({**run.position, self.prefix: step}.values()))
        if save or signum:
            self.fetch()
            self.save(state, step)
        if signum:
            run.checkpoints.wait()
            raise Interrupted(f"stopped at {self.prefix} step {step} and saved; the same command continues", signum)

    def between(self, state: Any, step: int, every: Sequence[Every]) -> None:
        """Does what is due between calls and logs what it returns."""
        for hook in every:
            if hook.due(step, self.num_steps):
                values = hook.action(state, step)
                if values:
                    self.run.log(step, values)

    def save(self, state: Any, step: int) -> None:
        """Saves in the background, after the metrics up to here are durable."""
        self.run.sync()
        position = {**self.run.position, self.prefix: step}
        try:
            self.run.checkpoints.save(position, state, self.run.metrics_lines)
        except FloatingPointError as error:
            raise self._not_finite(step - 1, f"parameter or state {error}") from None
        self.run.position = position

    def fetch(self) -> None:
        """Waits for the pending call's metrics, logs them, and stops on a value that is not finite."""
        if self.pending is None:
            return
        first, end, metrics, began, starved = self.pending
        self.pending = None
        values = {name: np.asarray(array) for name, array in jax.device_get(dict(metrics)).items()}
        bad, stop = _first_not_finite({name: values[name] for name in self.finite if name in values}, end - first)
        every = self.run.config.log.every_steps
        # One conversion for the whole call: most of the host's time goes into writing a line a step.
        columns = {f"{self.prefix}/{name}": array.tolist() for name, array in values.items()}
        self.run.log_many(
            [
                (step, {name: column[step - first] for name, column in columns.items()})
                for step in range(first, first + stop)
                if step % every == 0 or step == self.num_steps - 1 or (bad and step == first + stop - 1)
            ]
        )
        if bad:
            value = np.ravel(values[bad][stop - 1])
            what = f"{self.prefix}/{bad} = {value[~np.isfinite(value)][0]}"
            raise self._not_finite(first + stop - 1, what)
        self._log_speed(first, end, began, starved)
        shown = {n: float(np.mean(values[n][-1])) for n in self.show if n in values}
        self.run.progress.update(end, self.num_steps, shown)

    def _log_speed(self, first: int, end: int, began: float | None, starved: float) -> None:
        """One perf/ line a call, from its start, or the end of the call before, to its metrics' arrival."""
        now = time.perf_counter()
        if began is not None:
            whole = now - max(began, self._fetched)
            values = {f"perf/{self.prefix}_seconds_per_step": whole / (end - first)}
            for name, amount in self.rates.items():
                values[f"perf/{name}_per_second"] = amount * (end - first) / whole
            if self.rates:
                values["perf/input_bound"] = min(starved / whole, 1.0)
            self.run.log(end - 1, values)
        self._fetched = now

    def _not_finite(self, step: int, what: str) -> NotFinite:
        self.run.checkpoints.wait()
        last = self.run.checkpoints.last
        return NotFinite(f"not finite at {self.prefix} step {step}: {what}; last good checkpoint: {last}")


def _given(run: Run, state: Any) -> Any:
    """The state with the parameters of the given checkpoint."""
    path = run.config.checkpoint.init_from
    saved = checkpoint.read_given(path)
    leaves = {name: leaf for name, leaf in saved.leaves.items() if name.split(".")[0] == "params"}
    names = checkpoint.digest.named_leaves(state)
    if not any(name.split(".")[0] == "params" for name in names):
        raise checkpoint.CheckpointError("checkpoint.init_from needs a state with an entry named params")
    like = {name: leaf for name, leaf in names.items() if name.split(".")[0] == "params"}
    placed = checkpoint.place_named(leaves, like, f"checkpoint {path}")
    run.say(f"parameters from {path} ({saved})")
    return jax.tree.unflatten(jax.tree.structure(state), [placed.get(n, leaf) for n, leaf in names.items()])


def _first_not_finite(values: Mapping[str, np.ndarray], length: int) -> tuple[str, int]:
    """The first metric that is not finite ("" if none) and the number of steps up to and with its step."""
    name, steps = "", length
    for candidate, array in values.items():
        wrong = np.flatnonzero(~np.isfinite(array.reshape(length, -1).astype(np.float64)).all(axis=1))
        if wrong.size and (not name or wrong[0] + 1 < steps):
            name, steps = candidate, int(wrong[0]) + 1
    return name, steps


def _own(leaf: Any, mesh: jax.sharding.Mesh | None) -> jax.Array:
    """A copy on the state's mesh, without a weak type: the caller's arrays outlive the donated ones."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        copy = leaf.copy()
    else:
        copy = jnp.array(leaf, dtype=jnp.result_type(leaf), copy=True)
    if mesh is not None and not isinstance(copy.sharding, jax.sharding.NamedSharding):
        return sharding.replicate(copy, mesh)
    return copy


def _multiple(step: int, of: int) -> bool:
    return of > 0 and step % of == 0
