r"""Runs a sweep: a grid over config fields times seeds, then one table and one figure.

    python -m experiments.sweep --experiment=maze --config=configs/maze.py:tiny \
        --grid=rl.advantage.name=maxrl,grpo --grid=rl.num_rollouts=4,8 --seeds=3 --workdir=DIR [--jobs=2]

Every run has its own process and its own folder DIR/FIELD=VALUE,...,seed=I with its output in log.txt. Before any
starts, each is checked as its driver would. The same command again skips what is finished and resumes what is not.
``--part=I/N`` runs every N-th run from the I-th on (I from 0): one task of a job array each; the command without it,
afterwards, makes the table. Exit status: 0 all runs are finished; 1 some failed (listed at the end); 2 a wrong setting.
"""

import argparse
import pathlib
import pkgutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import experiments
from experiments.sweep import check, grid, runner
from maxrl_jax.errors import ConfigError, suggestion
from maxrl_jax.runs.command_line import Parser, add_config, exit_with
from maxrl_jax.runs.config.override import split_arguments
from maxrl_jax.runs.folder import paths


def main(argv: Sequence[str]) -> int:
    """Runs the sweep of a command line; returns the exit status.

    Raises:
        ConfigError: a wrong setting, of the sweep or of one of its runs.
    """
    flags, spec, overrides = parse(argv)
    every = grid.points(flags.grid, flags.seeds)
    grid.check_not_fixed(every, overrides)
    points = grid.part(every, flags.part)
    module = find_module(flags.experiment)
    jobs = plan(flags, module, spec, overrides, points)
    commands = {job.name: job.arguments for job in jobs}
    settings = check.check(module, commands, runner.environment(0, flags.jobs))
    grid.check_all_differ(points, settings)
    paths.make_writable(flags.workdir)
    runner.skip_finished(jobs, settings)
    print(f"{len(points)} runs of {flags.experiment} in {flags.workdir}, {flags.jobs} at a time", flush=True)
    try:
        runner.run_all(jobs, flags.jobs, say=lambda text: print(text, flush=True))
    except runner.Stopped as stopped:
        print(stopped, file=sys.stderr)
        return 128 + stopped.signum
    runs = [(p, job.folder) for p, job in zip(points, jobs, strict=True) if job.status in ("finished", "skipped")]
    if runs and not flags.part:
        from experiments.sweep import summary  # pandas and matplotlib, for the end alone

        print(summary.write(pathlib.Path(flags.workdir), runs, flags.metric))
    failed = [job for job in jobs if job.status not in ("finished", "skipped")]
    for job in failed:
        print(f"failed: {job.name}: {job.reason} (see {job.folder / 'log.txt'})", file=sys.stderr)
    return 1 if failed else 0


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, str, list[str]]:
    """Reads the command line: (flags, config spec, --config.a.b=value arguments for every run).

    Raises:
        ConfigError: anything wrong in it.
    """
    parser = Parser("python -m experiments.sweep", __doc__)
    parser.add_argument("--experiment", metavar="NAME", help="driver: a module of experiments/")
    add_config(parser)
    parser.add_argument("--grid", action="append", default=[], metavar="FIELD=V,V", help="may be given several times")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="seeds 0 .. N - 1 of each combination (1)")
    parser.add_argument("--workdir", metavar="DIR", help="folder of the sweep")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (1)")
    parser.add_argument("--part", default="", metavar="I/N", help="every N-th run from the I-th on, I from 0")
    names = "metrics of the table, the first one drawn (eval/pass@1,...)"
    parser.add_argument("--metric", default="", metavar="NAMES", help=names)
    if any(argument in ("-h", "--help") for argument in argv):
        parser.parse_args(["--help"])
    spec, overrides, others = split_arguments(argv)
    flags = parser.read(others)
    if not spec:
        raise ConfigError("--config", None, "a config file, --config=configs/NAME.py:VARIANT", shown="nothing")
    if not flags.workdir:
        raise ConfigError("--workdir", None, "the folder of the sweep, --workdir=DIR", shown="nothing")
    if "://" in flags.workdir:
        raise ConfigError("--workdir", flags.workdir, "a folder of the file system, which the table can be written to")
    flags.workdir = paths.folder("--workdir", flags.workdir)
    if flags.jobs < 1:
        raise ConfigError("--jobs", flags.jobs, "at least 1")
    return flags, spec, overrides


def plan(
    flags: Any, module: str, spec: str, overrides: Sequence[str], points: Sequence[grid.Point]
) -> list[runner.Job]:
    """The job of every point."""
    sweep = pathlib.Path(flags.workdir)
    grouped = any(override.startswith("--config.wandb.group=") for override in overrides)
    group = [] if grouped else [f"--config.wandb.group={sweep.name}"]
    return [
        runner.Job(
            point.folder,
            sweep / point.folder,
            module,
            [f"--config={spec}", f"--workdir={sweep / point.folder}", *group, *overrides, *point.overrides],
        )
        for point in points
    ]


def find_module(name: str | None) -> str:
    """``experiments.NAME``, or a module given by its full dotted name.

    Raises:
        ConfigError: there is no such experiment.
    """
    drivers = [m.name for m in pkgutil.iter_modules(experiments.__path__) if find_spec(f"configs.{m.name}")]
    if not name:
        raise ConfigError("--experiment", None, ", ".join(drivers), shown="nothing")
    module = name if "." in name else f"experiments.{name}"
    try:
        found = find_spec(module)
    except ImportError:
        found = None
    if found is None:
        raise ConfigError("--experiment", name, ", ".join(drivers) + suggestion(name, drivers))
    return module


if __name__ == "__main__":
    exit_with(main)
