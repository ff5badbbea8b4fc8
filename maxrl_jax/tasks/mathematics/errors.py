"""The error of a file that cannot be used: one line that names the file, what was got and what is allowed."""

from typing import Any


class InputError(ValueError):
    """A data file or a model folder that does not hold what is needed.

    Attributes:
        place: the file, with its line or row where there is one.
        got: what was found there.
        allowed: what would have been accepted, in words.
    """

    def __init__(self, place: str, got: Any, allowed: str):
        self.place, self.got, self.allowed = place, got, allowed
        shown = str(got)
        if len(shown) > 200:
            shown = shown[:197] + "..."
        super().__init__(" ".join(f"{place}: got {shown}, allowed: {allowed}".split()))
