"""The frame of a study: what a config of it must hold, and a run that ends in tables, metrics and figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.results import band
from experiments.results.drawing import save_in_run
from experiments.results.spread import over_seeds
from maxrl_jax.runs.folder.run import Run

Tables = dict[str, pd.DataFrame]
Lines = Sequence[tuple[int, Mapping[str, float]]]


class Study(NamedTuple):
    """One study of ``python -m experiments.bandit``.

    Attributes:
      groups: of config fields that it reads.
      check: raises ConfigError for the first field that is wrong.
      run: ``run(opened, config)`` in an open run folder.
    """

    groups: Sequence[str]
    check: Callable[[Any], None]
    run: Callable[[Run, Any], Any]


def quiet(done: int, total: int) -> None:
    """Says nothing of the parts done."""


def ending_in_tables(
    train: Callable[..., Any],
    tables: Callable[[Any, Any], Tables] | None,
    figures: Callable[[Any, Tables], dict[str, tuple[Any, ...]]],
    metrics: Callable[[Tables], Lines] = lambda made: (),
) -> Callable[[Run, Any], Tables]:
    """``run(opened, config)`` of a study that trains everything at once.

    Args:
      train: ``train(config, tell)``, whose result has ``params`` or is the tables; ``tell(parts done, parts in all)``.
      tables: ``tables(config, result)`` by file name; None where the result is the tables.
      figures: ``figures(config, tables)``: of each file name, a function that draws, and its arguments.
      metrics: lines of metrics.jsonl from the tables.
    """

    def run(opened: Run, config: Any) -> Tables:
        opened.progress.begin(config.study, 0, 1)
        found = train(config, lambda done, total: opened.progress.update(done, total, {}))
        opened.progress.end()
        made = tables(config, found) if tables else found
        for name, table in made.items():
            (opened.path / f"{name}.csv").write_text(table.to_csv(index=False))
        opened.log_many(metrics(made))
        for name, (draw, *arguments) in figures(config, made).items():
            save_in_run(opened, name, draw, *arguments)
        if tables:
            opened.finish(found.params)
        else:  # nothing is trained: the digest is of the numbers
            opened.finish({name: table.select_dtypes("number").to_numpy() for name, table in made.items()})
        return made

    return run


def metrics_of_curves(*by: str) -> Callable[[Tables], Lines]:
    """One line a step of the table curves: the mean over seeds of every column, named eval/BY.../COLUMN."""

    def lines(made: Tables) -> Lines:
        table = made["curves"].drop(columns=["seed", "num_rollouts"], errors="ignore")
        found: dict[int, dict[str, float]] = {}
        for (*names, step), row in table.groupby([*by, "step"], sort=False).mean(numeric_only=True).iterrows():
            prefix = "eval/" + "/".join(str(name).replace(" ", "_") for name in names)
            found.setdefault(int(step), {}).update({f"{prefix}/{key}": float(value) for key, value in row.items()})
        return sorted(found.items())

    return lines


def tidy(identities: Sequence[Mapping[str, Any]], columns: Mapping[str, Any], **axis: Any) -> pd.DataFrame:
    """A row for each run and seed, and for each place along an axis where there is one.

    Args:
      identities: of each run, its columns.
      columns: of each further column the values, [runs, seeds] or [runs, seeds, places].
      **axis: the name and the values [places] of the axis.
    """
    seeds = range(np.shape(next(iter(columns.values())))[1])
    rows = [
        {**identity, "seed": seed, **axis, **{name: values[run][seed] for name, values in columns.items()}}
        for run, identity in enumerate(identities)
        for seed in seeds
    ]
    return pd.concat([pd.DataFrame(row) for row in rows], ignore_index=True) if axis else pd.DataFrame(rows)


def log_spaced_steps(num_steps: int, count: int) -> np.ndarray:
    """At most `count` whole steps from 0 to num_steps, closer together at the start."""
    return np.unique(np.concatenate([[0], np.geomspace(1, num_steps, count).round(), [num_steps]]).astype(int))


def even_steps(num_steps: int, count: int = 60) -> np.ndarray:
    """At most `count` whole steps from 0 to num_steps, evenly spaced."""
    return np.unique(np.linspace(0, num_steps, count).round().astype(int))


def draw_steps(ax: Axes, rows: pd.DataFrame, y: str, **line: Any) -> None:
    """A method's curve over steps: noise-free runs as a line, sampled ones as dots."""
    band.seeds(ax, rows[rows.gradients == "expected"], "step", y, **line)
    drawn = rows[rows.gradients == "sampled"].groupby("step")[y].mean().iloc[4::8]
    ax.plot(drawn.index, drawn, ".", color=line["color"], markersize=4)
    ax.set_xlabel("step")


def draw_rollouts(ax: Axes, rows: pd.DataFrame, y: str, **line: Any) -> None:
    """A method's values over N: noise-free runs as a line, sampled ones as dots with the standard error over seeds."""
    exact, drawn = (over_seeds(rows[rows.gradients == kind], ["num_rollouts"], y) for kind in ("expected", "sampled"))
    ax.plot(exact.num_rollouts, exact["mean"], **line)
    draw_dots(ax, drawn.num_rollouts, drawn["mean"], drawn.standard_error, line["color"])
    ax.set_xscale("log", base=2)
    ax.set_xlabel("rollouts $N$")


def draw_dots(ax: Axes, x: Any, mean: Any, error: Any, color: Any) -> None:
    """Dots with bars of one standard error."""
    band.bars(ax, x, mean, error, marker=".", linestyle="", color=color, markersize=4)
