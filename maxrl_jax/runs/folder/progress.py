"""Console output during a run: a bar on a terminal, plain lines elsewhere."""

import datetime
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class Progress:
    """The progress display of one run, on standard error.

    On a terminal it is one live bar a phase, with the time left and the shown metrics. Elsewhere it is one plain
    line every ``seconds`` and at the end of the phase, with the rate and the time left.
    """

    def __init__(self, name: str, seconds: float, quiet: bool = False):
        """Makes the display; a ``quiet`` one, of a process other than the first, shows nothing."""
        self._name, self._seconds, self._quiet = name, seconds, quiet
        self._phase: str | None = None
        self._live: Any = None
        self._task: Any = None
        self._last_line = -np.inf
        self._timed_from: tuple[int, float] | None = None

    def begin(self, phase: str, step: int, total: int) -> None:
        """Starts the display of a phase at a step."""
        self.end()
        self._phase, self._last_line, self._timed_from = phase, time.monotonic(), None
        if not self._quiet and sys.stderr.isatty():
            self._live = _bar()
            self._live.start()
            self._task = self._live.add_task(f"{self._name} {phase}", total=total, completed=step, shown="")

    def working(self, on: str) -> None:
        """Says what the phase is busy with before it can show a step: "compiling"."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.update(self._task, shown=f"{on} ...")
        else:
            self.say(f"{self._name} {self._phase}: {on} ...")

    def update(self, step: int, total: int, shown: Mapping[str, float]) -> None:
        """Shows the state after ``step`` steps; ``shown`` are the live metrics."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.update(self._task, completed=step, shown=_words(shown))
            return
        now = time.monotonic()
        if self._timed_from is None:  # the first call compiles: time runs from its end
            self._timed_from = (step, now)
        if now - self._last_line >= self._seconds or step == total:
            self._last_line = now
            parts = [f"{self._name} {self._phase} {step}/{total}", _words(shown), self._speed(step, total, now)]
            print("  ".join(part for part in parts if part), file=sys.stderr, flush=True)

    def evaluated(self, step: int, total: int, headline: Mapping[str, float]) -> None:
        """One line for an evaluation."""
        if headline:
            self.say(f"{self._name} {self._phase} {step}/{total} evaluated: {_words(headline)}")

    def say(self, text: str) -> None:
        """One line for the user, above the bar."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A line for the title, which may be wider than the table, and the table: names, then columns of numbers."""
        if self._quiet:
            return
        from rich.console import Console
        from rich.table import Table

        self.say(title)
        shown = Table()
        for i, column in enumerate(columns):
            shown.add_column(column, justify="right" if i else "left")
        for row in rows:
            shown.add_row(*row)
        Console(stderr=True, width=None if sys.stderr.isatty() else 100, highlight=False, force_jupyter=False).print(
            shown
        )

    def end(self) -> None:
        """Leaves the bar as it stands."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _speed(self, step: int, total: int, now: float) -> str:
        assert self._timed_from is not None
        first, began = self._timed_from
        if step <= first or now <= began:
            return ""
        rate = (step - first) / (now - began)
        left = datetime.timedelta(seconds=round((total - step) / rate))
        return f"{rate:.4g} steps/s" + (f"  {left} left" if step < total else "")


def _words(values: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[shown]}"),
        console=Console(stderr=True, force_jupyter=False),
    )
