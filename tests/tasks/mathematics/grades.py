"""Judges for workers that misbehave on request."""

import os
import re
import signal
from pathlib import Path

from maxrl_jax.tasks.mathematics import grading


def grade(answer: str, gold: str) -> int:
    """Hangs, dies or raises where the answer says so."""
    if answer == "hang":
        re.match("(a+)+$", "a" * 60 + "b")  # 2^60 steps inside C, where no handler of a signal runs
    if answer == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if answer == "leave":
        os._exit(3)
    if answer.startswith("die once: "):  # the first to create this file
        try:
            Path(answer.removeprefix("die once: ")).touch(exist_ok=False)
        except FileExistsError:
            return grading.RIGHT
        os._exit(3)
    if answer == "raise":
        raise RuntimeError("as asked")
    return grading.RIGHT if answer == gold else grading.WRONG
