"""What ends a run early: a signal (noted; the loop finishes its call, saves, and leaves), or a named failure."""

import signal
import threading
from types import FrameType
from typing import Any


class Interrupted(Exception):
    """The run was asked to stop and has saved; the same command continues it.

    Attributes:
        signum: the signal; the exit status is 128 + signum.
    """

    def __init__(self, text: str, signum: int):
        super().__init__(text)
        self.signum = signum


class Failed(RuntimeError):
    """A run that cannot go on, in one line; a user's own exception behind it is its cause."""


class NotFinite(ArithmeticError):
    """A metric or parameter is NaN or infinite; the message names it and the last good checkpoint."""


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written, read or used; one line."""

    def __init__(self, text: str):
        super().__init__(" ".join(text.split()))


class StopRequest:
    """Catches SIGTERM and SIGINT while it is open; a second signal acts at once as if it were not there.

    In a run of several processes the preemption service of `jax.distributed` handles SIGTERM, and `at`
    agrees on one step for all of them.
    """

    def __init__(self):
        self.signum: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        import jax

        if threading.current_thread() is threading.main_thread():
            caught = (signal.SIGINT,) if jax.process_count() > 1 else (signal.SIGTERM, signal.SIGINT)
            self._before = {signum: signal.signal(signum, self._note) for signum in caught}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def at(self, step: int) -> int | None:
        """The signal to stop for, or None; every process of the run gets the same answer.

        Args:
            step: steps done in all phases, the same in every process and rising from call to call.
        """
        import jax

        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            return signal.SIGTERM if multihost_utils.reached_preemption_sync_point(step) else None
        return self.signum

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum
        self._restore()

    def _restore(self) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        self._before = {}
