"""Verifiers of the tests' own; they import next to nothing, so that workers start at once."""

import os
import pathlib
import signal
import time


def letter(answer, gold):
    """Whether the answer holds a letter of the first or of the second half of the alphabet, as the gold does."""
    return any((c < "g") == (gold < "g") for c in answer if c.isalpha())


def letter_with_trouble(answer, gold):
    """As `letter`; of all answers the first one hangs, once, and the second one ends its worker whenever it comes.

    TROUBLE is a folder that says which they were; its file `kills` has a byte for each worker ended.
    """
    folder = pathlib.Path(os.environ["TROUBLE"])
    if _first(folder / "hang"):
        time.sleep(600)
    mine = f"{answer} {gold}"
    if _first(folder / "die"):
        (folder / "deadly").write_text(mine)
    if (folder / "deadly").exists() and (folder / "deadly").read_text() == mine:
        with open(folder / "kills", "a") as kills:
            kills.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
    return letter(answer, gold)


def _first(file):
    """Whether nobody has come by before."""
    try:
        file.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
