"""Starts `jax.distributed` when the environment (or a flag) says that a run has several processes."""

import argparse
import atexit
import dataclasses
import os
import subprocess
from typing import Any

from maxrl_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Cluster:
    """How the processes of a run find each other.

    Attributes:
        mode: auto, on or off.
        coordinator: address of process 0, "host:port"; empty where JAX finds it itself.
        num_processes: processes of the run, with a coordinator.
        process_id: this one's number.
        heartbeat_seconds: a process silent for so long is taken for dead, and the others end.
    """

    mode: str = "auto"
    coordinator: str = ""
    num_processes: int = 0
    process_id: int = -1
    heartbeat_seconds: int = 100

    @classmethod
    def from_flags(cls, flags: Any) -> "Cluster":
        """Reads and checks the flags of `add_flags`.

        Raises:
            ConfigError: they do not make sense together.
        """
        if flags.distributed not in ("auto", "on", "off"):
            raise ConfigError("--distributed", flags.distributed, "auto, on or off")
        if flags.coordinator:
            host, _, port = flags.coordinator.rpartition(":")
            if not host or not port.isdigit():
                raise ConfigError("--coordinator", flags.coordinator, "HOST:PORT")
            if flags.num_processes < 1:
                raise ConfigError("--num_processes", flags.num_processes, "at least 1, with --coordinator")
            if not 0 <= flags.process_id < flags.num_processes:
                raise ConfigError(
                    "--process_id",
                    flags.process_id,
                    f"from 0 to {flags.num_processes - 1} (--num_processes - 1)",
                )
        elif flags.num_processes or flags.process_id >= 0:
            raise ConfigError("--coordinator", "", "HOST:PORT, with --num_processes and --process_id")
        if flags.heartbeat_seconds < 1:
            raise ConfigError("--heartbeat_seconds", flags.heartbeat_seconds, "at least 1")
        return cls(flags.distributed, flags.coordinator, flags.num_processes, flags.process_id, flags.heartbeat_seconds)

    def start(self) -> None:
        """Joins the processes; does nothing in a run of one. Before the first computation.

        Raises:
            ConfigError: JAX cannot tell from the environment how the processes find each other.
        """
        if self.mode == "off" or (self.mode == "auto" and not self.coordinator and not _several_processes()):
            return
        import jax

        heartbeat = self.heartbeat_seconds
        if self.coordinator:
            jax.distributed.initialize(
                self.coordinator, self.num_processes, self.process_id, heartbeat_timeout_seconds=heartbeat
            )
        else:
            try:
                jax.distributed.initialize(heartbeat_timeout_seconds=heartbeat)
            except ValueError as error:
                raise ConfigError("--distributed", self.mode, f"off, or --coordinator=HOST:PORT ({error})") from None
        if jax.process_count() > 1:
            _announce_death(f"process {jax.process_index()} of {jax.process_count()}")


def _announce_death(name: str) -> None:
    """Has one clear line said, should this process die without a word of its own.

    When one process of a run dies, JAX ends the others by abort(), after which no Python runs. So a shell outside
    waits for this process: it reads a word at a normal exit, of whatever status, and the end of the pipe otherwise.
    """
    if os.name != "posix":
        return
    text = f"error: {name} was killed, or ended because another one died; the same command, on every host, resumes"
    reader, writer = os.pipe()
    subprocess.Popen(["sh", "-c", 'read word || echo "$0" >&2', text], stdin=reader, start_new_session=True)
    os.close(reader)
    atexit.register(os.write, writer, b"ended\n")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags a `Cluster` is read from."""
    mode = "auto: several processes when SLURM, Open MPI or a TPU pod says so; on; off"
    parser.add_argument("--distributed", default="auto", metavar="MODE", help=mode)
    by_hand = "address of process 0, for several processes started by hand"
    parser.add_argument("--coordinator", default="", metavar="HOST:PORT", help=by_hand)
    parser.add_argument("--num_processes", type=int, default=0, metavar="N", help="processes of the run")
    parser.add_argument("--process_id", type=int, default=-1, metavar="I", help="number of this process, from 0")
    silence = "a process silent for so long is taken for dead, and ends the run (100)"
    parser.add_argument("--heartbeat_seconds", type=int, default=100, metavar="S", help=silence)


def _several_processes() -> bool:
    """Whether SLURM, Open MPI, a TPU pod or JAX's variables say that this process is one of several."""
    environment = os.environ
    if environment.get("JAX_COORDINATOR_ADDRESS"):
        return True
    if "SLURM_STEP_ID" in environment and _count("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS") > 1:
        return True
    if _count("OMPI_COMM_WORLD_SIZE") > 1:
        return True
    hosts = environment.get("TPU_PROCESS_ADDRESSES") or environment.get("TPU_WORKER_HOSTNAMES")
    return "," in hosts if hosts else _on_a_cloud_tpu()


def _on_a_cloud_tpu() -> bool:
    """Whether this is a Cloud TPU VM, where JAX asks the VM's metadata for the hosts of the slice (maybe one).

    Importing JAX on a TPU VM leaves these variables behind.
    """
    import jax  # noqa: F401

    return os.environ.get("TPU_ML_PLATFORM") == "JAX" and "TPU_SKIP_MDS_QUERY" not in os.environ


def _count(*names: str) -> int:
    return max((int(os.environ[name]) for name in names if os.environ.get(name, "").isdigit()), default=0)
