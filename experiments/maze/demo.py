"""The main job at a small size, end to end: ``python -m experiments.maze.demo --workdir=DIR``.

From one small transformer that solves few mazes with one try and most with 128, MaxRL, GRPO and RLOO train with the
same seed. Ends in a table and a figure. The same command again continues where it stopped.
``--config.FIELD=VALUE`` goes to every run (``python -m experiments.maze --help`` lists the fields); with
``--config.sft.steps`` above 0 the base is made first.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import configs
from experiments.figures.policies import overview, tables
from experiments.results import policy_runs, style
from experiments.results.policy_runs import Record
from experiments.sweep import runner
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs import launch
from maxrl_jax.runs.command_line import Parser, add_config, exit_with
from maxrl_jax.runs.config import fields
from maxrl_jax.runs.config.override import split_arguments
from maxrl_jax.runs.folder import paths
from maxrl_jax.tasks import maze

METHODS = {"maxrl": 2e-4, "grpo": 1e-4, "rloo": 1e-4}
"""Each method at its own learning rate, the best of four (results/README.md)."""

PASS_AT = (1, 32, 128)
SMALL = f"{Path(configs.__file__).parent / 'maze.py'}:small"
SHORT = ("--config.rl.steps=100", "--config.eval.every_steps=50", "--config.eval.num_mazes=128")
"""The start of the study that `small` is, in minutes."""


class Failed(RuntimeError):
    """A run ended early, and has said why.

    Attributes:
      exit_status: its own.
    """

    def __init__(self, job: runner.Job):
        super().__init__(f"{job.name} {job.status}: {job.reason}")
        self.exit_status = job.exit_status or 1


def run(workdir: str | os.PathLike, overrides: Sequence[str] = SHORT, spec: str = SMALL) -> pd.DataFrame:
    """RL by every method from one base, the table and the figure; returns the table.

    Args:
      workdir: holds one run folder a method, one for SFT where the config has any, and the programs that all compile.
      overrides: ``--config.FIELD=VALUE`` of every run; estimator and learning rate are replaced by each method's.
      spec: the config, FILE.py:VARIANT.

    Raises:
      ConfigError: a wrong setting.
      Failed: one of the runs did.
      runner.Stopped: SIGTERM or SIGINT; everything is saved.
    """
    folder = Path(workdir)
    compiled = f"--config.compilation_cache={folder / 'compiled'}"
    shared = [f"--config={spec}", "--config.wandb.mode=disabled", compiled, *overrides]

    def job(name: str, settings: Mapping[str, Any]) -> runner.Job:
        own = [f"--config.{field}={value}" for field, value in settings.items()]
        return runner.Job(name, folder / name, "experiments.maze", [*shared, *own, f"--workdir={folder / name}"])

    base, start = job("sft", {"rl.steps": 0}), {}
    if launch.parse(base.arguments)[0].sft.steps:
        _finish([base], 1)
        start = {"sft.steps": 0, "checkpoint.init_from": base.folder}
    methods = [
        job(name, {**start, "rl.advantage.name": name, "rl.learning_rate": rate}) for name, rate in METHODS.items()
    ]
    _finish(methods, _runs_at_a_time())
    found = [policy_runs.read(method.folder) for method in methods]
    table = summary(found)
    table.to_csv(folder / "summary.csv", index=False)
    overview.mazes(found).fig.savefig(folder / "demo.png", dpi=200)
    show(table)
    print(reading(table, found[0].config["maze"]["size"]))
    print(f"figure: {folder / 'demo.png'}")
    return table


def _finish(jobs: Sequence[runner.Job], parallel: int) -> None:
    """Runs the jobs that are not finished, and prints what they print."""
    runner.skip_finished(jobs, [fields.to_dict(launch.parse(job.arguments)[0]) for job in jobs])
    runner.run_all(jobs, parallel, say=lambda text: print(text, file=sys.stderr, flush=True), echo=True)
    for job in jobs:
        if job.status not in ("finished", "skipped"):
            raise Failed(job)


def _runs_at_a_time() -> int:
    """One a core on a CPU, of which a run of a small model uses little more than one; an accelerator is for one run."""
    # In a process of its own: the one that asks holds the accelerator's memory.
    asked = [sys.executable, "-c", "import jax; print(jax.default_backend())"]
    platform = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[-1]
    return min(len(METHODS), os.cpu_count() or 1) if platform == "cpu" else 1


def summary(found: Sequence[Record]) -> pd.DataFrame:
    """Held-out pass@k of the blind walker (`maxrl_jax.tasks.maze.blind`), the base and each run, a row each."""
    ks = [k for k in PASS_AT if k <= found[0].num_samples]
    return tables.pass_table(found, ks).assign(mazes=len(found[0].evaluations[0]["solved"]))


def show(table: pd.DataFrame) -> None:
    """Prints the summary as a table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=f"{table.mazes.iloc[0]} held-out mazes, one seed")
    ks = _columns(table)
    for name in ("method", "RL steps", *ks):
        shown.add_column(name, justify="left" if name == "method" else "right")
    for row in table.to_dict("records"):
        shown.add_row(row["label"], str(row["rl_steps"]), *(f"{row[name]:.3f}" for name in ks))
    Console(width=None if sys.stdout.isatty() else 120).print(shown)


def _columns(table: pd.DataFrame) -> list[str]:
    """pass@k, the largest k last."""
    return [name for name in table if name.startswith("pass@") and name.removeprefix("pass@").isdigit()]


def reading(table: pd.DataFrame, size: int) -> str:
    """The table of mazes of one size in sentences for a newcomer."""
    rows, most = table.set_index("method"), _columns(table)[-1]
    base, blind = rows.loc["base"], rows.loc["blind"]
    lines = []
    for name, what in (("pass@1", "One try"), (most, f"{most.removeprefix('pass@')} tries")):
        after = [f"{style.LABELS[method]} {rows[name][method]:.3f}" for method in rows.index.drop(["base", "blind"])]
        lines.append(
            f"{what} solved {base[name]:.3f} of the mazes before RL, and after it: {', '.join(after)}; a walker that"
            f" sees no wall solves {blind[name]:.3f}."
        )
    lines += [
        f"There are {maze.count_mazes(size):,} mazes of {size} x {size}; those evaluated on are in no training"
        " batch. One seed shows a picture, not a proof: results/README.md has three, with their spread.",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """The command; returns the exit status."""
    parser = Parser("python -m experiments.maze.demo", __doc__)
    add_config(parser)
    parser.add_argument("--workdir", metavar="DIR", help="folder of the demo")
    spec, overrides, others = split_arguments(argv)
    flags = parser.read(others)
    if not flags.workdir:
        raise ConfigError("--workdir", None, "the folder of the demo, --workdir=DIR", shown="nothing")
    workdir = paths.folder("--workdir", flags.workdir)
    paths.make_writable(workdir)
    try:
        run(workdir, [*(() if spec else SHORT), *overrides], spec or SMALL)
    except Failed as error:  # the run has said why
        return error.exit_status
    except runner.Stopped as error:
        print(error, file=sys.stderr)
        return 128 + error.signum
    return 0


if __name__ == "__main__":
    exit_with(main)
