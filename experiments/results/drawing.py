"""A drawn figure with the numbers in it, and writing it, into a folder or into a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from experiments.results import style
from maxrl_jax.runs.folder.run import Run

KINDS = ("png", "svg")


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A drawn figure; a row a plotted point, saved as CSV beside it; text that the command prints ("" for none)."""

    fig: Figure
    data: pd.DataFrame
    text: str = ""


def save(drawing: Drawing, folder: Any, name: str) -> None:
    """Writes FOLDER/NAME.png, .svg and .csv; the same numbers give the same bytes. The folder exists."""
    with style.settings():
        for kind in KINDS:
            # No date in the file.
            with (folder / f"{name}.{kind}").open("wb") as file:
                drawing.fig.savefig(file, format=kind, metadata={"Date": None} if kind == "svg" else None)
    (folder / f"{name}.csv").write_text(drawing.data.to_csv(index=False, float_format="%.7g"))


def save_in_run(run: Run, name: str, draw: Callable[..., Drawing], *arguments: Any) -> None:
    """Draws and writes figures/NAME.*; a drawing that fails is one line, and the run goes on to its end.

    What is drawn is in the run's tables already: a picture must not cost a finished run.
    """
    try:
        with style.settings():
            drawing = draw(*arguments)
        save(drawing, run.figures, name)
    except Exception as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        run.say(f"{run.figures / name} was not drawn ({words[:200]}); the numbers are in {run.path}")
        return
    run.say(f"{run.figures / name}.png, .svg, .csv")
