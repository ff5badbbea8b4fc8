"""The main job at a small size, end to end: ``python -m experiments.maze.demo --workdir=DIR``.

A small transformer learns mazes by SFT up to a low pass rate; from that one checkpoint MaxRL, GRPO and RLOO train
with the same seed. Ends in a table and a figure. The same command again continues where it stopped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import configs
from experiments.maze import __main__ as driver
from experiments.maze import overview
from experiments.maze.checks import check
from experiments.results import policy_runs, style
from experiments.results.policy_runs import Record
from maxrl_jax.runs import launch
from maxrl_jax.runs.devices import compile_cache
from maxrl_jax.tasks import maze

METHODS = {"maxrl": 3e-4, "grpo": 2e-4, "rloo": 1e-4}
"""Each method at its own learning rate, the best of three (results/README.md)."""

PASS_AT = (1, 32, 128)


def run(config: Any, workdir: str | os.PathLike) -> pd.DataFrame:
    """SFT once, RL by every method from its checkpoint, the table and the figure; returns the table.

    Args:
      config: a config of configs/maze.py; its estimator and learning rate are replaced by each method's.
      workdir: holds one run folder for SFT and one a method, and what was compiled.
    """
    folder = Path(workdir)
    base = config.copy_and_resolve_references()
    base.rl.steps = 0
    with compile_cache.kept_in(folder / "compiled"):  # the runs have all but their training steps in common
        driver.run(base, folder / "sft")
        for method, rate in METHODS.items():
            settings = config.copy_and_resolve_references()
            settings.rl.advantage.name = method
            settings.rl.learning_rate = rate
            settings.sft.steps = 0
            settings.checkpoint.init_from = os.fspath(folder / "sft")
            driver.run(settings, folder / method)
    found = [policy_runs.read(folder / method) for method in METHODS]
    table = summary(found)
    table.to_csv(folder / "summary.csv", index=False)
    overview.draw(found).fig.savefig(folder / "demo.png", dpi=200)
    show(table)
    print(reading(table, config))
    print(f"figure: {folder / 'demo.png'}")
    return table


def summary(found: Sequence[Record]) -> pd.DataFrame:
    """One row for the base and one for each run: held-out pass@k, and how many right answers are shortest ones."""
    rows = []
    for record, step in [(found[0], 0), *((record, max(record.evaluations)) for record in found)]:
        base = step == 0
        seen = record.evaluations[step]
        row: dict[str, Any] = {"method": "base" if base else record.method, "rl_steps": step}
        ks = orders(record)
        row |= {f"pass@{k}": float(v) for k, v in zip(ks, record.pass_curve(ks, step), strict=True)}
        rows.append(row | {"shortest": seen["shortest"], "mazes": len(seen["solved"])})
    return pd.DataFrame(rows)


def orders(record: Record) -> list[int]:
    """Those k of `PASS_AT` that a run has the samples for."""
    return [k for k in PASS_AT if k <= record.num_samples]


def show(table: pd.DataFrame) -> None:
    """Prints the summary as a table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=f"{table.mazes.iloc[0]} held-out mazes, one seed")
    ks = [name for name in table if name.startswith("pass@")]
    for name in ("method", "RL steps", *ks, "shortest, of the right"):
        shown.add_column(name, justify="left" if name == "method" else "right")
    for _, row in table.iterrows():
        shares = [row[name] for name in (*ks, "shortest")]
        shown.add_row(style.LABELS[row.method], str(row.rl_steps), *(f"{share:.3f}" for share in shares))
    Console(width=None if sys.stdout.isatty() else 120).print(shown)


def reading(table: pd.DataFrame, config: Any) -> str:
    """What a newcomer should take from the table, with its numbers."""
    rows = table.set_index("method")
    most = max((name for name in table if name.startswith("pass@")), key=lambda name: int(name.removeprefix("pass@")))
    base = rows.loc["base"]
    lines = []
    for name, what in (("pass@1", "One try"), (most, f"{most.removeprefix('pass@')} tries")):
        found = ", ".join(f"{style.LABELS[method]} {rows[name][method]:.3f}" for method in rows.index.drop("base"))
        lines.append(f"{what} solved {base[name]:.3f} of the mazes before RL, and after it: {found}.")
    total = maze.count_mazes(config.maze.size)
    lines += [
        "Short paths are nobody's aim: a reward of 0 or 1 does not ask for them. With --config.maze.reward=path_quality"
        " it does.",
        f"There are {total:,} mazes of {config.maze.size} x {config.maze.size}; those evaluated on are in no training"
        " batch. One seed shows a picture, not a proof: results/README.md has three, with their spread.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    file = Path(configs.__file__).parent / "maze.py"
    launch.main(run, check, [f"--config={file}:tiny", "--config.wandb.mode=disabled", *sys.argv[1:]])
