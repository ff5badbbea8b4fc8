"""Judges for workers that misbehave on request."""

import os
import signal
import time

from maxrl_jax.tasks.mathematics import grading


def grade(answer: str, gold: str) -> int:
    """Hangs, dies or raises where the answer says so."""
    if answer == "hang":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGALRM])
        while True:
            time.sleep(1)
    if answer == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if answer == "leave":
        os._exit(3)
    if answer == "raise":
        raise RuntimeWarning("as asked")
    return grading.RIGHT if answer == gold else grading.WRONG
