"""What the user sees while a run goes on: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np


class Progress:
    """The progress display of one run, on standard error.

    On a terminal it is one live bar a phase, with the rate, the time left and the shown metrics. Elsewhere it
    is one plain line every ``seconds`` and at the end of the phase.
    """

    def __init__(self, name: str, seconds: float, quiet: bool = False):
        """Makes the display.

        Args:
            name: the run's name, shown in front.
            seconds: least time between plain lines.
            quiet: show nothing (the processes other than the first).
        """
        self._name, self._seconds, self._quiet = name, seconds, quiet
        self._phase: str | None = None
        self._live: Any = None
        self._task: Any = None
        self._last_line = -np.inf
        self._began = (0, 0.0)

    def begin(self, phase: str, step: int, total: int) -> None:
        """Starts the display of a phase at a step."""
        self.end()
        self._phase, self._began, self._last_line = phase, (step, time.monotonic()), time.monotonic()
        if not self._quiet and sys.stderr.isatty():
            self._live = _bar()
            self._live.start()
            self._task = self._live.add_task(f"{self._name} {phase}", total=total, completed=step, shown="")

    def update(self, step: int, total: int, shown: Mapping[str, float]) -> None:
        """Shows the state after ``step`` steps; ``shown`` are the live metrics."""
        if self._quiet:
            return
        values = "  ".join(f"{name} {value:.4g}" for name, value in shown.items())
        if self._live is not None:
            self._live.update(self._task, completed=step, shown=values)
            return
        now = time.monotonic()
        if now - self._last_line >= self._seconds or step == total:
            self._last_line = now
            rate = (step - self._began[0]) / max(now - self._began[1], 1e-9)
            print(
                f"{self._name} {self._phase} {step}/{total}  {values}  {rate:.4g} steps/s",
                file=sys.stderr,
                flush=True,
            )

    def say(self, text: str) -> None:
        """One line for the user, above the bar."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leaves the bar as it stands."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[shown]}"),
        console=Console(stderr=True),
    )
