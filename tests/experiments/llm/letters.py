"""Verifiers of the tests' own; they import next to nothing, so that workers start at once."""

import os
import pathlib
import signal
import time


def letter(answer, gold):
    """Whether the answer holds a letter of the first or of the second half of the alphabet, as the gold does."""
    return any((c < "g") == (gold < "g") for c in answer if c.isalpha())


def letter_with_trouble(answer, gold):
    """As `letter`; of all answers one hangs, and one ends its worker. TROUBLE is a folder that says which have."""
    folder = pathlib.Path(os.environ["TROUBLE"])
    for trouble in ("hang", "die"):
        try:
            (folder / trouble).touch(exist_ok=False)
        except FileExistsError:
            continue
        if trouble == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(600)
    return letter(answer, gold)
