"""The whole ``__main__`` of a driver: flags, config, checks, devices, run, and one line for every error.

Exit status: that of `command_line.status`; after SIGTERM or SIGINT everything is saved.
"""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from maxrl_jax.devices import distributed
from maxrl_jax.errors import ConfigError, one_line
from maxrl_jax.runs.command_line import Parser, add_config, status
from maxrl_jax.runs.config import checks, help
from maxrl_jax.runs.config.load import load
from maxrl_jax.runs.config.override import override, split_arguments
from maxrl_jax.runs.folder import paths, wandb_writer

Main = Callable[[Any, str], Any]
Check = Callable[[Any], Any]


def main(run: Main, check: Check, argv: Sequence[str] | None = None, *, config_file: str = "") -> NoReturn:
    """Runs a driver from the command line and exits.

    Args:
        run: ``run(config, workdir)``, the plain function notebooks call too.
        check: ``check(config)``, raising ConfigError for anything the run could not do.
        argv: the arguments; those of the process by default.
        config_file: the driver's config file, "configs/NAME.py", which --help describes.
    """
    sys.exit(status(lambda: _run(run, check, list(sys.argv[1:] if argv is None else argv), config_file)))


def parse(argv: Sequence[str], config_file: str = "") -> tuple[Any, str, distributed.Cluster]:
    """Reads a command line: (config, workdir, cluster). Starts no device.

    Raises:
        ConfigError: anything wrong in it.
    """
    spec, overrides, others = split_arguments(argv)
    flags = _parser(config_file).read(others)
    if not spec:
        file = config_file or "configs/NAME.py"
        raise ConfigError("--config", None, f"a config file, --config={file}:VARIANT", shown="nothing")
    config = override(load(spec), overrides)
    check_common(config)
    if not flags.workdir:
        raise ConfigError("--workdir", None, "the folder of this run, --workdir=DIR", shown="nothing")
    workdir = paths.folder("--workdir", flags.workdir)
    return config, workdir, distributed.Cluster.from_flags(flags)


def check_common(config: Any) -> None:
    """Checks the fields every config shares (`configs/common.py`).

    Raises:
        ConfigError: one of them is wrong.
    """
    checks.integer(config, "seed", 0, 2**32 - 1)
    checks.positive_int(config, "mesh.fsdp")
    checks.non_negative_int(config, "checkpoint.every_steps")
    checks.positive_int(config, "checkpoint.max_to_keep")
    checks.positive_int(config, "log.every_steps")
    checks.in_range(config, "log.console_seconds", 0.0)
    init_from = config.checkpoint.init_from
    if init_from and "://" not in init_from and not os.path.isdir(init_from):
        raise ConfigError("checkpoint.init_from", init_from, "a run folder or a checkpoint in one")
    wandb_writer.mode(config)
    if not config.wandb.project:
        raise ConfigError("wandb.project", config.wandb.project, "the name of a W&B project")
    if not all(isinstance(tag, str) for tag in config.wandb.tags):
        raise ConfigError("wandb.tags", config.wandb.tags, 'a tuple of strings such as ("maze", "grpo")')


def set_up(config: Any) -> None:
    """Sets what must be set before the first computation: determinism on GPU, the compilation cache.

    Warnings of absl's log, which is orbax's too, become one line each: it writes a traceback there for each of its
    threads that a failed save passes through, and the exception itself ends in one line of ours.
    """
    absl = logging.getLogger("absl")
    absl.handlers, absl.propagate = [_OneLine(logging.WARNING)], False
    sys.unraisablehook = _without_closed_loops(sys.unraisablehook)
    if config.deterministic and "--xla_gpu_deterministic_ops" not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_gpu_deterministic_ops=true"
    if config.compilation_cache:
        import jax

        jax.config.update("jax_compilation_cache_dir", config.compilation_cache)


def _run(run: Main, check: Check, argv: list[str], config_file: str) -> None:
    if any(argument in ("-h", "--help") for argument in argv):
        print(usage(argv, config_file))
        return
    config, workdir, cluster = parse(argv, config_file)
    set_up(config)
    cluster.start()  # before the driver's check, which may ask how many devices there are
    check(config)
    paths.make_writable(workdir)  # before anything is compiled
    run(config, workdir)


class _OneLine(logging.Handler):
    """Says the first line of a warning, each once, and never a traceback."""

    def __init__(self, level: int):
        super().__init__(level)
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = one_line(ValueError(record.getMessage().strip().partition("\n")[0]))
        if text not in self._said:
            self._said.add(text)
            print(f"warning: {text}", file=sys.stderr, flush=True)


def _without_closed_loops(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Leaves out what tensorstore's unfinished writes and reads say when they outlive a failed one."""

    def quieter(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            hook(unraisable)

    return quieter


def usage(argv: Sequence[str], config_file: str = "") -> str:
    """The text of --help: the flags, then what the config file says of itself and of each of its fields.

    Args:
        argv: the command line; its --config, if there, is the one described.
        config_file: the driver's own.
    """
    spec = split_arguments([argument for argument in argv if argument not in ("-h", "--help")])[0] or config_file
    return _parser(config_file).format_help() + ("\n" + help.describe(spec) if spec else "")


def _parser(config_file: str) -> Parser:
    file = config_file or "configs/NAME.py"
    name = os.path.splitext(os.path.basename(file))[0]
    parser = Parser(f"python -m experiments.{name}", None)
    parser.usage = f"%(prog)s --config={file}:VARIANT --workdir=DIR [--config.FIELD=VALUE ...]"
    add_config(parser)
    parser.add_argument("--workdir", metavar="DIR", help="folder of this run; the same again resumes it")
    distributed.add_flags(parser)
    return parser
