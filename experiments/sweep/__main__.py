r"""Runs a sweep: a grid over config fields times seeds, then one table and one figure.

    python -m experiments.sweep --experiment=maze --config=configs/maze.py:tiny \
        --grid=rl.advantage.name=maxrl,grpo --grid=rl.num_rollouts=4,8 --seeds=3 --workdir=DIR [--jobs=2]

Every run has its own process and its own folder DIR/FIELD=VALUE,...,seed=I with its output in log.txt. The
same command again skips what is finished and resumes what is not. Exit status: 0 all runs are finished; 1
some failed (listed at the end); 2 a wrong setting.
"""

import importlib.util
import os
import pathlib
import pkgutil
import sys
from collections.abc import Sequence
from typing import Any

import experiments
from experiments.sweep import grid, runner, summary
from maxrl_jax.training import config as config_module
from maxrl_jax.training.checks import ConfigError, Words, suggestion

_TOOLS = ("sweep", "figures", "report")
"""Modules of experiments/ that are not drivers."""


def main(argv: Sequence[str]) -> int:
    """Runs the sweep of a command line; returns the exit status."""
    try:
        flags, spec, overrides = parse(argv)
        points = grid.points(flags.grid, flags.seeds)
        jobs = plan(flags, spec, overrides, points)
        settings = check(spec, overrides, points)
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
    if runs:
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
    if values.jobs < 1:
        raise ConfigError("--jobs", values.jobs, "at least 1")
    return values, spec, overrides


def plan(flags: Any, spec: str, overrides: Sequence[str], points: Sequence[grid.Point]) -> list[runner.Job]:
    """The job of every point.

    Raises:
        ConfigError: there is no such experiment.
    """
    module = _module(flags.experiment)
    group = [] if any(o.startswith("--config.wandb.group=") for o in overrides) else [
        f"--config.wandb.group={pathlib.Path(flags.workdir).name}"
    ]  # fmt: skip
    jobs = []
    for point in points:
        folder = pathlib.Path(flags.workdir) / point.folder
        command = [sys.executable, "-m", module, f"--config={spec}", f"--workdir={folder}"]
        jobs.append(runner.Job(point.folder, folder, [*command, *group, *overrides, *point.overrides]))
    return jobs


def check(spec: str, overrides: Sequence[str], points: Sequence[grid.Point]) -> list[dict[str, Any]]:
    """Loads the config of every point, so that a misspelt field or a wrong type ends the sweep before it starts.

    Returns:
        The configs, as plain values.

    Raises:
        ConfigError: the first such field.
    """
    loaded = [config_module.override(config_module.load(spec), [*overrides, *p.overrides]) for p in points]
    return [config_module.to_dict(config) for config in loaded]


def _module(name: str | None) -> str:
    """``experiments.NAME``, or a module given by its full dotted name."""
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
