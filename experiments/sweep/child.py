"""Runs ``-m MODULE ARGUMENTS`` tied to its sweep: when the sweep's process dies, this one gets SIGTERM and saves."""

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """``child PARENT_PID -m MODULE ARGUMENTS...``, started by `experiments.sweep.runner`."""
    parent, _, module, *arguments = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # the sweep died before the tie was made
        sys.exit(128 + signal.SIGTERM)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
