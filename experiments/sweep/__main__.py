r"""Runs a sweep: a grid over config fields times seeds, then one table and one figure.

    python -m experiments.sweep --experiment=maze --config=configs/maze.py:tiny \
        --grid=rl.advantage.name=maxrl,grpo --grid=rl.num_rollouts=4,8 --seeds=3 --workdir=DIR [--jobs=2]

Every run has its own process and its own folder DIR/FIELD=VALUE,...,seed=I with its output in log.txt. Before any
starts, each is checked as its driver would. The same command again skips what is finished and resumes what is not.
``--part=I/N`` runs every N-th run from the I-th on (I from 0): one task of a job array each; the command without it,
afterwards, makes the table. Exit status: 0 all runs are finished; 1 some failed (listed at the end); 2 a wrong setting.
"""

import importlib.util
import os
import pathlib
import pkgutil
import sys
from collections.abc import Sequence
from typing import Any

import experiments
from experiments.sweep import check, grid, runner
from maxrl_jax.runs.config import config as config_module
from maxrl_jax.runs.config.checks import ConfigError, Words, suggestion
from maxrl_jax.runs.folder import paths

_TOOLS = ("sweep", "figures", "report")
"""Modules of experiments/ that are not drivers."""


def main(argv: Sequence[str]) -> int:
    """Runs the sweep of a command line; returns the exit status."""
    try:
        flags, spec, overrides = parse(argv)
        points = grid.part(grid.points(flags.grid, flags.seeds), flags.part)
        module = find_module(flags.experiment)
        jobs = plan(flags, module, spec, overrides, points)
        commands = {job.name: job.arguments for job in jobs}
        settings = check.check(module, commands, runner.environment(0, flags.jobs))
        paths.make_writable(flags.workdir)
        runner.skip_finished(jobs, settings)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
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


def parse(argv: Sequence[str]) -> tuple[Any, str, list[str]]:
    """Reads the command line: (flags, config spec, --config.a.b=value arguments for every run).

    Raises:
        ConfigError: anything wrong in it.
    """
    from absl import flags as absl_flags

    spec, overrides, others = config_module.split_arguments(argv)
    values = absl_flags.FlagValues()
    define = {"flag_values": values}
    absl_flags.DEFINE_string("experiment", None, "driver: a module of experiments/", **define)
    absl_flags.DEFINE_multi_string("grid", [], "FIELD=VALUE,VALUE; may be given several times", **define)
    absl_flags.DEFINE_integer("seeds", 1, "seeds 0 .. seeds - 1 of each combination", **define)
    absl_flags.DEFINE_string("workdir", None, "folder of the sweep", **define)
    absl_flags.DEFINE_integer("jobs", 1, "runs at a time", **define)
    absl_flags.DEFINE_string("part", "", "I/N: every N-th run from the I-th on, I from 0", **define)
    absl_flags.DEFINE_string("metric", "", "metrics of the table, first one drawn: eval/pass@1,...", **define)
    try:
        leftover = values(["", *others])[1:]
    except absl_flags.Error as error:
        raise ConfigError("command line", Words(str(error)), "--" + ", --".join(["config", *values])) from None
    if leftover:
        raise ConfigError("command line", leftover[0], "flags only, --NAME=VALUE")
    if not spec:
        raise ConfigError("--config", Words("nothing"), "a config file, --config=configs/NAME.py:VARIANT")
    if not values.workdir:
        raise ConfigError("--workdir", Words("nothing"), "the folder of the sweep, --workdir=DIR")
    if os.path.exists(values.workdir) and not os.path.isdir(values.workdir):
        raise ConfigError("--workdir", values.workdir, "a folder, not a file")
    if "://" in values.workdir:
        raise ConfigError("--workdir", values.workdir, "a folder of the file system, which the table can be written to")
    if values.jobs < 1:
        raise ConfigError("--jobs", values.jobs, "at least 1")
    return values, spec, overrides


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
    drivers = [m.name for m in pkgutil.iter_modules(experiments.__path__) if m.name not in _TOOLS]
    if not name:
        raise ConfigError("--experiment", Words("nothing"), ", ".join(drivers))
    module = name if "." in name else f"experiments.{name}"
    try:
        found = importlib.util.find_spec(module)
    except ImportError:
        found = None
    if found is None:
        raise ConfigError("--experiment", name, ", ".join(drivers) + suggestion(name, drivers))
    return module


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
