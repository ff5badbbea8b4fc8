"""The host loop every driver shares: several steps a call, metrics fetched one call late, exact resume.

The loop's calls are cut at boundaries that are a function of the step alone, so an interrupted and resumed
run makes the same calls as an uninterrupted one, and ends with bitwise the same state.
"""

import contextlib
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from maxrl_jax.devices import sharding
from maxrl_jax.runs.folder import checkpoint, digest
from maxrl_jax.runs.folder.run import Run
from maxrl_jax.runs.folder.stopping import CheckpointError, Interrupted, NotFinite
from maxrl_jax.runs.loop.chunks import Calls, boundary
from maxrl_jax.runs.loop.phase import Phase


def run_steps(run: Run, phase: Phase, state: Any) -> Any:
    """Runs one phase of a run from where it stands to its last step, logging and saving as it goes.

    Args:
        run: the open run folder.
        phase: what is run.
        state: pytree of arrays before step 0, placed with the shardings it keeps (when some leaves are on a mesh,
            the others are replicated over it). It is copied; each call consumes the copy. For a given first
            checkpoint it has an entry ``params``.

    Returns:
        The state after the last step. When the run is resumed in a later phase, ``state`` as given.

    Raises:
        NotFinite: a metric of ``phase.finite`` or a leaf of the state is not finite.
        Interrupted: SIGTERM or SIGINT; the run has saved.
        CheckpointError: a checkpoint cannot be written, or does not fit the state.
    """
    keeper = _Keeper(run, phase)
    state, step = keeper.start(state)
    if step is None:
        return state
    cuts = [phase.steps_per_call, run.config.checkpoint.every_steps, *(hook.steps for hook in phase.every)]
    exact = [step for hook in phase.every for step in hook.at_steps]
    run.progress.begin(phase.name, step, phase.num_steps)
    if step == 0 and not keeper.restored:
        keeper.between(state, 0)
    with contextlib.closing(Calls(phase.chunk, state, phase.data, step)) as calls:
        while step < phase.num_steps:
            end = boundary(step, phase.num_steps, phase.steps_per_call, cuts, [*calls.starts, *exact])
            state = keeper.dispatch(calls, state, step, end)
            step = end
            keeper.end_of_call(state, step)
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


class _Keeper:
    """The bookkeeping of one phase: restore, metrics, saves."""

    def __init__(self, run: Run, phase: Phase):
        self.run, self.phase = run, phase
        self.pending: _Pending | None = None
        self.restored = False
        self._met: list[Any] = []  # hooks that have run, and are compiled
        self._fetched = 0.0  # when the metrics of the call before arrived

    def start(self, state: Any) -> tuple[Any, int | None]:
        """The state to begin with and its step; step None when the run is already in a later phase.

        Precedence: 1. the run's own checkpoint; 2. the given one (config.checkpoint.init_from), for the
        parameters of a new run's first phase; 3. the state as made.
        """
        run = self.run
        saved = run.saved
        if saved is not None and self.phase.name in saved.position and self.phase.name != saved.phase:
            run.position[self.phase.name] = saved.position[self.phase.name]
            return state, None
        mesh = sharding.mesh_of(state)
        state = jax.tree.map(lambda leaf: _own(leaf, mesh), state)
        if saved is not None and self.phase.name == saved.phase:
            source = f"checkpoint {run.checkpoints.folder}/{saved.step}"
            state = checkpoint.place(saved.leaves, state, source)
            run.position[self.phase.name] = saved.position[self.phase.name]
            run.saved, self.restored = None, True
            return state, run.position[self.phase.name]
        if saved is not None:
            raise RuntimeError(f"the run's checkpoint is of {saved}, and the run begins with {self.phase.name}")
        if not run.position and run.config.checkpoint.init_from:
            state = _given(run, state)
        run.position[self.phase.name] = 0
        return state, 0

    def dispatch(self, calls: Calls, state: Any, step: int, end: int) -> Any:
        """Starts a call and, while the device works on it, fetches the metrics of the one before."""
        compiles = calls.compiles(step, end)
        if compiles and self.pending is None:  # later on, a new length of call compiles while the last one is shown
            self.run.progress.working("compiling the step")
        began = None if compiles else time.perf_counter()
        self.run.stop.doing = f"the call up to {self.phase.name} step {end}"
        state, metrics = calls(state, step, end)
        self.fetch()
        self.pending = _Pending(step, end, metrics, began, calls.starved)
        return state

    def end_of_call(self, state: Any, step: int) -> None:
        """Does what is due after ``step`` steps: hooks, then the save, then the stop that was asked for."""
        run = self.run
        every = run.config.checkpoint.every_steps
        save = step == self.phase.num_steps or (every > 0 and step % every == 0)
        if save or any(hook.due(step, self.phase.num_steps) for hook in self.phase.every):
            self.fetch()
            self.between(state, step)
        # Steps of all phases: the processes of a run agree on a number that never falls.
        signum = run.stop.at(sum({**run.position, self.phase.name: step}.values()))
        if save or signum:
            self.fetch()
            self.save(state, step)
        if signum:
            run.checkpoints.wait()
            raise Interrupted(f"stopped at {self.phase.name} step {step} and saved; the same command continues", signum)

    def between(self, state: Any, step: int) -> None:
        """Does what is due between calls and logs what it returns."""
        for hook in self.phase.every:
            if hook.due(step, self.phase.num_steps):
                if hook not in self._met:
                    self._met.append(hook)
                    self.run.progress.working("compiling the evaluation")
                self.run.stop.doing = f"the evaluation after {self.phase.name} step {step}"
                values = hook.action(state, step)
                if values:
                    self.run.evaluated(step, self.phase.num_steps, values, hook.show)

    def save(self, state: Any, step: int) -> None:
        """Saves in the background, after the metrics up to here are durable."""
        self.run.stop.doing = f"the save of {self.phase.name} step {step}"
        self.run.sync()
        position = {**self.run.position, self.phase.name: step}
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
        bad, stop = _first_not_finite({name: values[name] for name in self.phase.finite if name in values}, end - first)
        every = self.run.config.log.every_steps
        # One conversion for the whole call: most of the host's time goes into writing a line a step.
        columns = {f"{self.phase.name}/{name}": array.tolist() for name, array in values.items()}
        self.run.log_many(
            [
                (step, {name: column[step - first] for name, column in columns.items()})
                for step in range(first, first + stop)
                if step % every == 0 or step == self.phase.num_steps - 1 or (bad and step == first + stop - 1)
            ]
        )
        if bad:
            value = np.ravel(values[bad][stop - 1])
            what = f"{self.phase.name}/{bad} = {value[~np.isfinite(value)][0]}"
            raise self._not_finite(first + stop - 1, what)
        self._log_speed(first, end, began, starved)
        shown = {n: float(np.mean(values[n][-1])) for n in self.phase.show if n in values}
        self.run.progress.update(end, self.phase.num_steps, shown)

    def _log_speed(self, first: int, end: int, began: float | None, starved: float) -> None:
        """One perf/ line a call, from its start, or the end of the call before, to its metrics' arrival."""
        now = time.perf_counter()
        if began is not None:
            whole = now - max(began, self._fetched)
            values = {f"perf/{self.phase.name}_seconds_per_step": whole / (end - first)}
            for name, amount in self.phase.rates.items():
                values[f"perf/{name}_per_second"] = amount * (end - first) / whole
            if self.phase.rates:
                values["perf/input_bound"] = min(starved / whole, 1.0)
            self.run.log(end - 1, values)
        self._fetched = now

    def _not_finite(self, step: int, what: str) -> NotFinite:
        self.run.checkpoints.wait()
        last = self.run.checkpoints.last
        return NotFinite(f"not finite at {self.phase.name} step {step}: {what}; last good checkpoint: {last}")


def _given(run: Run, state: Any) -> Any:
    """The state with the parameters of the given checkpoint."""
    path = run.config.checkpoint.init_from
    saved = checkpoint.read_given(path)
    leaves = {name: leaf for name, leaf in saved.leaves.items() if name.split(".")[0] == "params"}
    names = digest.named_leaves(state)
    if not any(name.split(".")[0] == "params" for name in names):
        raise CheckpointError("checkpoint.init_from needs a state with an entry named params")
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
