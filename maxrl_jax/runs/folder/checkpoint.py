"""Checkpoints of a run: orbax's CheckpointManager behind what a run needs.

A checkpoint holds the leaves of the state by name, and JSON metadata: the position (steps done in each
phase), shapes, dtypes and checksums, and the number of metrics lines written so far. Each device reads an equal part
of a leaf; leaves are verified, and then placed with the shardings asked for, so the devices of the saving and of the
resuming run need not agree, and no process reads more than its part. Nothing is unpickled.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
from etils import epath

from maxrl_jax.devices import sharding
from maxrl_jax.errors import one_line
from maxrl_jax.runs.folder import digest
from maxrl_jax.runs.folder.stopping import CheckpointError


@dataclasses.dataclass(frozen=True)
class Saved:
    """A verified checkpoint.

    Attributes:
        step: its number in the folder, the sum of the position's counts.
        position: steps done by phase, in the phases' order; the last is the phase it was saved in.
        metrics_lines: lines of metrics written before it.
        leaves: the state's leaves by name, split over all devices.
    """

    step: int
    position: dict[str, int]
    metrics_lines: int
    leaves: dict[str, jax.Array]

    @property
    def phase(self) -> str:
        """The phase it was saved in."""
        return list(self.position)[-1]

    def __str__(self) -> str:
        return f"{self.phase} step {self.position[self.phase]}"


class Checkpoints:
    """The checkpoints of one run folder, numbered by the total of steps done."""

    def __init__(self, folder: epath.Path, max_to_keep: int = 2, say: Callable[[str], None] = lambda text: None):
        """Opens the folder (made if absent); what a killed process left half-written is cleared away.

        Args:
            folder: the folder of checkpoints.
            max_to_keep: older checkpoints than these many are deleted after a save.
            say: called with a line for the user.
        """
        import orbax.checkpoint as ocp

        self.folder = folder
        self._say = say
        self._position: dict[str, int] | None = None
        options = ocp.CheckpointManagerOptions(max_to_keep=max_to_keep, create=True, cleanup_tmp_directories=True)
        self._manager = ocp.CheckpointManager(folder, options=options)

    @property
    def last(self) -> str:
        """Name of the newest checkpoint that is complete, in words."""
        steps = self._manager.all_steps()
        return f"{self.folder}/{max(steps)}" if steps else "none"

    @property
    def position(self) -> dict[str, int] | None:
        """Position of the newest save or restore of this process."""
        return self._position

    def save(self, position: Mapping[str, int], state: Any, metrics_lines: int) -> None:
        """Saves in the background; returns as soon as the state may be changed or donated.

        On a CPU it returns when all is written: the next step would share its cores with the writing, and its memory
        with a copy of the state.

        Raises:
            CheckpointError: this save or the one before it failed (a full disk); the complete ones stay.
            FloatingPointError: a leaf of the state is not finite, named; nothing is saved.
        """
        import orbax.checkpoint as ocp

        leaves = {name: digest.raw(leaf) for name, leaf in digest.named_leaves(state).items()}
        sums, finite = jax.device_get(digest.device_checksums(list(leaves.values())))
        bad = [name for name, ok in zip(leaves, finite, strict=True) if not ok]
        if bad:
            raise FloatingPointError(", ".join(bad[:3]))
        step = sum(position.values())
        meta = {
            "position": dict(position),
            "metrics_lines": metrics_lines,
            "leaves": digest.describe(leaves),
            "checksums": {name: int(value) for name, value in zip(leaves, sums, strict=True)},
        }
        arguments = ocp.args.Composite(state=ocp.args.PyTreeSave(leaves), meta=ocp.args.JsonSave(meta))
        try:
            self._manager.check_for_errors()
            self._manager.save(step, args=arguments, force=True)
        except Exception as error:
            raise self._failed(error) from error
        if jax.default_backend() == "cpu":
            self.wait()
        self._position = dict(position)

    def latest(self) -> Saved | None:
        """The newest checkpoint that reads back intact, or None in a folder without any.

        One that is broken is moved to ``broken/`` beside the checkpoints, with a line to the user, and the
        one before it is tried.

        Raises:
            CheckpointError: there are checkpoints and all are broken.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for tried, step in enumerate(steps):
            try:
                saved = _read(self._manager, step)
            except Exception as error:  # whatever a damaged file makes the readers below raise
                self._set_aside(step)
                left = ", the one before is tried" if tried + 1 < len(steps) else ""
                self._say(f"checkpoint {self.folder}/{step} is broken ({_short(error)}){left}")
                continue
            self._position = dict(saved.position)
            return saved
        if steps:
            raise CheckpointError(
                f"no checkpoint in {self.folder} can be read; remove that folder to start from scratch"
            )
        return None

    def wait(self) -> None:
        """Waits until the last save is complete on disk.

        Raises:
            CheckpointError: it failed.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Waits for the last save and lets go of the folder."""
        try:
            self.wait()
        finally:
            self._manager.close()

    def _set_aside(self, step: int) -> None:
        if jax.process_index() == 0:
            broken = self.folder.parent / "broken"
            broken.mkdir(parents=True, exist_ok=True)
            target = broken / str(step)
            if target.exists():
                target.rmtree()
            (self.folder / str(step)).rename(target)
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices(f"broken checkpoint {step}")
        self._manager.reload()

    def _failed(self, error: Exception) -> CheckpointError:
        """Orbax raises what stopped a background save at the next call, so the step that failed is not known."""
        return CheckpointError(
            f"a checkpoint could not be written to {self.folder}: {_short(error)}; last good: {self.last}"
        )


def place(leaves: Mapping[str, jax.Array], like: Any, source: str) -> Any:
    """Builds a pytree with the structure, types and shardings of ``like`` from named leaves.

    Args:
        leaves: arrays by name (`digest.named_leaves`); more than ``like`` has are ignored.
        like: pytree of `jax.Array`; each leaf's sharding is the target.
        source: where the leaves are from, for the error.

    Raises:
        CheckpointError: a leaf is missing, or has another shape or dtype.
    """
    placed = place_named(leaves, digest.named_leaves(like), source)
    return jax.tree.unflatten(jax.tree.structure(like), list(placed.values()))


def place_named(leaves: Mapping[str, jax.Array], targets: Mapping[str, jax.Array], source: str) -> dict[str, jax.Array]:
    """`place` for leaves by name."""
    placed = {}
    for name, target in targets.items():
        wanted = digest.raw(target)
        if name not in leaves:
            raise CheckpointError(f"{source} has no {name}: it was saved by another model or optimizer")
        got = leaves[name]
        if got.shape != wanted.shape or got.dtype != wanted.dtype:
            raise CheckpointError(
                f"{source}: {name} is {got.dtype}{list(got.shape)}, this run has {wanted.dtype}{list(wanted.shape)}"
            )
        array = sharding.place(got, wanted.sharding)
        if wanted is not target:
            array = jax.random.wrap_key_data(array, impl=jax.random.key_impl(target))
        placed[name] = array
    return placed


def given(path: str) -> tuple[epath.Path, int]:
    """Folder and step of the checkpoint that a run folder, its ``checkpoints``, or one checkpoint in it stands for.

    Raises:
        CheckpointError: there is none.
    """
    where = epath.Path(path if "://" in path else os.path.abspath(path))
    if where.name.isdigit() and where.exists():
        return where.parent, int(where.name)
    folder = where / "checkpoints" if (where / "checkpoints").exists() else where
    steps = [int(p.name) for p in folder.iterdir() if p.name.isdigit()] if folder.exists() else []
    if not steps:
        raise CheckpointError(f"no checkpoint in {path}")
    return folder, max(steps)


def read_given(path: str) -> Saved:
    """The checkpoint that a run starts from, see `given`.

    Raises:
        CheckpointError: there is none, or it is broken.
    """
    import orbax.checkpoint as ocp

    folder, step = given(path)
    with ocp.CheckpointManager(folder, options=ocp.CheckpointManagerOptions(create=False)) as manager:
        try:
            return _read(manager, step)
        except Exception as error:
            raise CheckpointError(f"checkpoint {folder}/{step} is broken ({_short(error)})") from error


def _read(manager: Any, step: int) -> Saved:
    """Reads one checkpoint, part by part, and verifies it; a damaged one raises whatever its reader raises."""
    import orbax.checkpoint as ocp

    meta = manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore())).meta
    mesh = sharding.make_mesh(jax.device_count())
    parts = {
        name: ocp.ArrayRestoreArgs(
            sharding=sharding.parameter_sharding(mesh, jax.ShapeDtypeStruct(tuple(shape), dtype))
        )
        for name, (shape, dtype) in meta["leaves"].items()
    }
    read = ocp.args.PyTreeRestore(item=dict.fromkeys(parts, 0), restore_args=parts)
    leaves = manager.restore(step, args=ocp.args.Composite(state=read)).state
    sums, _ = jax.device_get(digest.device_checksums([leaves[name] for name in parts]))
    for name, checksum in zip(parts, sums, strict=True):
        if digest.describe({name: leaves[name]})[name] != meta["leaves"][name]:
            raise ValueError(f"{name} has another shape or dtype than was saved")
        if int(checksum) != meta["checksums"][name]:
            raise ValueError(f"{name} does not match its checksum")
    return Saved(step, meta["position"], meta["metrics_lines"], leaves)


def _short(error: BaseException) -> str:
    """A failed save's or read's reason: a full disk by its name, whatever it is wrapped in."""
    text = one_line(error)
    signs = ("No space left on device", "Disk quota exceeded", "File too large")
    return next((sign for sign in signs if sign.lower() in str(error).lower()), text)
