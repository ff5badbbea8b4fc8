"""The table and the figure of a sweep: mean, standard error and number of seeds of each combination."""

import math
import pathlib
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.results import folders, style
from experiments.results.band import band
from experiments.results.spread import over_seeds
from experiments.sweep.grid import Point
from maxrl_jax.runs.folder import metric_writer

SHOWN = 6
KEYS = ("label", "metric", "step")
Runs = Sequence[tuple[Point, pathlib.Path]]


def write(folder: pathlib.Path, runs: Runs, metrics: str = "") -> str:
    """Writes table.csv, table.md, curves.csv, figure.png and figure.svg into the sweep's folder.

    The table on the terminal has the first `SHOWN` metrics only.

    Args:
        folder: the sweep's folder.
        runs: the finished runs.
        metrics: comma-separated names for the table, the first one drawn; by default every eval/ metric, or
            every train/ metric of a sweep without evaluations.
    """
    curves = read_curves(runs)
    names = choose(curves, metrics)
    absent = [name for name in metrics.split(",") if name and name not in names]
    table = final_table(curves, names)
    table.to_csv(folder / "table.csv", index=False)
    (folder / "table.md").write_text(markdown(table, names) + "\n")
    if names:
        spread = over_seeds(pd.DataFrame(curves[curves.metric == names[0]]), KEYS)
        spread.to_csv(folder / "curves.csv", index=False)
        draw(spread, names[0], folder)
    more = f"\n({len(names) - SHOWN} more metrics in table.md)" if len(names) > SHOWN else ""
    more += f"\n(no run has {', '.join(absent)})" if absent else ""
    return f"{markdown(table, names[:SHOWN])}{more}\n\n{folder / 'table.csv'}  {folder / 'figure.png'}"


def read_curves(runs: Runs) -> pd.DataFrame:
    """Every metric of every run: columns label, seed, metric, step, value.

    A list of values is its mean; a value that is not finite is NaN, and stands for an evaluation without one.
    """
    rows = []
    for point, folder in runs:
        for record in folders.read(folder, "--workdir").records:
            for name, value in record.items():
                if name.startswith(("train/", "eval/")):
                    number = metric_writer.mean(value)
                    finite = number if math.isfinite(number) else math.nan
                    rows.append((point.label, point.seed, name, record["step"], finite))
    return pd.DataFrame(rows, columns=["label", "seed", "metric", "step", "value"])


def choose(curves: pd.DataFrame, metrics: str) -> list[str]:
    """The metrics of the table; unknown names are left out."""
    there = list(dict.fromkeys(curves.metric))
    if metrics:
        return [name for name in metrics.split(",") if name in there]
    return [name for name in there if name.startswith("eval/")] or there


def final_table(curves: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Values of each run's last step: columns label, metric, mean, standard_error, n, in the order of the runs.

    The last step is that of the phase (eval/, train/), not of the metric: one that its last evaluation lacks is
    missing, and an older value does not take its place.
    """
    phase = curves.metric.str.split("/").str[0]
    last = curves.step == curves.groupby(["label", "seed", phase]).step.transform("max")
    final = over_seeds(pd.DataFrame(curves[last & curves.metric.isin(names)]), ["label", "metric"])
    final = final[final.n > 0]
    order = {label: i for i, label in enumerate(dict.fromkeys(curves.label))}
    key = final.label.map(order) * len(names) + final.metric.map(lambda name: list(names).index(name))
    return final.loc[key.sort_values(kind="stable").index].reset_index(drop=True)


def markdown(table: pd.DataFrame, names: Sequence[str]) -> str:
    """The table as markdown: a row per combination, ``mean ± standard error`` per metric, of n seeds or as said."""
    lines = ["| run | " + " | ".join(names) + " | n |", "|---" * (len(names) + 2) + "|"]
    for label, rows in table.groupby("label", sort=False):
        cells = []
        for name in names:
            row = rows[rows.metric == name]
            cells.append(_cell(row.iloc[0], int(rows.n.max())) if len(row) else "missing")
        lines.append(f"| {label} | " + " | ".join(cells) + f" | {int(rows.n.max())} |")
    return "\n".join(lines)


def draw(spread: pd.DataFrame, metric: str, folder: pathlib.Path) -> None:
    """One line per combination, the mean over the seeds, with a band of one standard error."""
    figure, axes = style.new_figure(width="page", aspect=0.55)
    with style.settings():
        for i, (label, rows) in enumerate(spread.groupby("label", sort=False)):
            rows = rows.sort_values("step")
            look = {"color": f"C{i % 10}", "linestyle": ("-", "--", ":", "-.")[i // 10 % 4]}
            marker = "o" if len(rows) == 1 else None
            look["label"] = f"{short(str(label))} (n={int(rows.n.max())})"
            band(axes, rows.step, rows["mean"], rows.standard_error, marker=marker, **look)
        axes.set_xlabel("step")
        axes.set_ylabel(metric)
        many = spread.label.nunique() > 6
        place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if many else {}
        axes.legend(title="mean and standard error over seeds", **place)
        for kind in ("png", "svg"):
            figure.savefig(folder / f"figure.{kind}", bbox_inches="tight")


def short(label: str) -> str:
    """A label with the last word of each field only: ``rl.num_rollouts=4`` is ``num_rollouts=4``."""
    return re.sub(r"(^|,)(?:\w+\.)+(\w+=)", r"\1\2", label).replace(",", ", ")


def _cell(row: pd.Series, seeds: int) -> str:
    error = "" if np.isnan(row.standard_error) else f" ± {row.standard_error:.2g}"
    fewer = f" (n={row.n})" if row.n < seeds else ""
    return f"{row['mean']:.4g}{error}{fewer}"
