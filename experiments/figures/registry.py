"""The table of figures: a figure is a function from a `Context` to a `Drawing`, registered under its name."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path

from experiments.results.drawing import Drawing


class Skipped(Exception):
    """Raised by a figure that cannot be drawn from the given runs; str() says why."""


@dataclasses.dataclass(frozen=True)
class Context:
    """Inputs of a figure: fewer samples, seeds and points; run folders given; the seed of whatever is sampled."""

    quick: bool = False
    runs: tuple[Path, ...] = ()
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Entry:
    """One figure of the table."""

    name: str
    title: str
    needs_runs: bool
    draw: Callable[[Context], Drawing]


FIGURES: dict[str, Entry] = {}


def figure(
    name: str, *, title: str, needs_runs: bool = False
) -> Callable[[Callable[[Context], Drawing]], Callable[[Context], Drawing]]:
    """Registers the decorated function under `name`; `needs_runs` when it only draws from run folders."""

    def register(draw: Callable[[Context], Drawing]) -> Callable[[Context], Drawing]:
        if name in FIGURES:
            raise ValueError(f"figure {name!r} is already in the table")
        FIGURES[name] = Entry(name, title, needs_runs, draw)
        return draw

    return register


def load_all() -> dict[str, Entry]:
    """Imports every file of this folder and of those in it, which fills the table; returns it sorted by name."""
    package = importlib.import_module(__package__ or "experiments.figures")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.split(".")[-1].startswith("_"):
            importlib.import_module(module.name)
    return dict(sorted(FIGURES.items()))
