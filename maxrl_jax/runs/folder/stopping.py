"""How a run ends early: by a signal, which is acknowledged at once, or by a named failure."""

import ctypes
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

_CAUGHT = (signal.SIGTERM, signal.SIGINT)
# After a second signal:
_SECONDS_TO_SEE = 1.0  # for Python's handler, which a compiled call may hold up for minutes
_SECONDS_TO_UNWIND = 5.0  # for its KeyboardInterrupt to get out: one raised in a destructor is printed and lost


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


def say_plainly(text: str) -> None:
    """One line on standard error."""
    print(text, file=sys.stderr, flush=True)


class StopRequest:
    """Catches SIGTERM and SIGINT while it is open; a second signal ends the process before the save.

    A Python handler runs only between bytecodes, and a compiled call may last minutes. So a thread, to which the
    signal itself writes, tells the user what is being finished. The handler makes a second SIGINT a KeyboardInterrupt,
    so that files are closed and a notebook lives on, and ends the process at a second SIGTERM; where it does not run in
    time, or the KeyboardInterrupt gets nowhere, the thread ends the process.

    In a run of several processes either signal goes on to the preemption service of `jax.distributed`, and `at` agrees
    on one step for all of them.

    Attributes:
        signum: the first signal; None before it.
        doing: what the loop has to finish first, in words.
    """

    def __init__(self, say: Callable[[str], None] = say_plainly, doing: str = "the preparations"):
        self.signum: int | None = None
        self.doing = doing
        self._say = say
        self._before: dict[int, Any] = {}
        self._pipe: tuple[int, int] | None = None
        self._tell_others: Callable[[int], None] = lambda signum: None
        self._seen = False  # by Python, a second signal
        self._closed = threading.Event()

    def __enter__(self) -> "StopRequest":
        import jax

        if threading.current_thread() is threading.main_thread():
            if jax.process_count() > 1:
                self._tell_others = _handler_in_c(signal.SIGTERM)
            self._pipe = os.pipe()
            os.set_blocking(self._pipe[1], False)
            self._woken_before = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
            threading.Thread(target=self._acknowledge, args=(self._pipe[0],), daemon=True).start()
            self._before = {signum: signal.signal(signum, self._note) for signum in _CAUGHT}
        return self

    def __exit__(self, *_: object) -> None:
        if self._pipe is not None:
            for signum, handler in self._before.items():
                signal.signal(signum, handler)
            signal.set_wakeup_fd(self._woken_before)
            self._closed.set()
            os.close(self._pipe[1])  # ends the thread
            self._pipe = None

    def at(self, step: int) -> int | None:
        """The signal to stop for, or None; every process of the run stops at the same step.

        Args:
            step: steps done in all phases, the same in every process and rising from call to call.
        """
        import jax

        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            return (self.signum or signal.SIGTERM) if multihost_utils.reached_preemption_sync_point(step) else None
        return self.signum

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum = signum
            return
        if signum != signal.SIGINT:
            self._end(signum)
        # An exception in JAX's callback of the garbage collector would be lost: there the thread ends the process.
        if frame is None or frame.f_code.co_name != "_xla_gc_callback":
            self._seen = True
            raise KeyboardInterrupt

    def _acknowledge(self, pipe: int) -> None:
        seen = 0
        while written := os.read(pipe, 1):
            if written[0] not in _CAUGHT:
                continue
            seen += 1
            if seen == 1:
                name = signal.Signals(written[0]).name
                self._say(f"{name}: finishing {self.doing}, then saved and ended; a second signal ends it at once")
                self._tell_others(signal.SIGTERM)
            elif seen == 2:
                ended = self._closed.wait(_SECONDS_TO_SEE) or (self._seen and self._closed.wait(_SECONDS_TO_UNWIND))
                if not ended:
                    self._end(written[0])
        os.close(pipe)

    def _end(self, signum: int) -> NoReturn:
        self._say(f"{signal.Signals(signum).name} again: ended before the save")
        os._exit(128 + signum)


@functools.cache  # a second run of the process finds it replaced
def _handler_in_c(signum: int) -> Callable[[int], None]:
    """The handler of a signal that a C library has installed, where Python's own is about to take its place."""
    action = ctypes.create_string_buffer(256)  # a struct sigaction, which opens with the handler
    ctypes.CDLL(None).sigaction(signum, None, action)
    return ctypes.CFUNCTYPE(None, ctypes.c_int)(
        int.from_bytes(action.raw[: ctypes.sizeof(ctypes.c_void_p)], sys.byteorder)
    )
