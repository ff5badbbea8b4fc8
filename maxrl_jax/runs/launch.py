"""The whole ``__main__`` of a driver: flags, config, checks, devices, run, and one line for every error.

Exit status: 0 done; 1 stopped by a failure that is named (not finite, checkpoint, disk); 2 a wrong setting;
128 + signal after SIGTERM or SIGINT, with everything saved.
"""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from maxrl_jax.runs.config import config as config_module
from maxrl_jax.runs.config.checks import ConfigError, Words, in_range, integer, non_negative_int, positive_int
from maxrl_jax.runs.devices import distributed
from maxrl_jax.runs.folder import paths
from maxrl_jax.runs.folder.stopping import CheckpointError, Interrupted, NotFinite

Main = Callable[[Any, str], Any]
Check = Callable[[Any], Any]


def main(run: Main, check: Check, argv: Sequence[str] | None = None) -> NoReturn:
    """Runs a driver from the command line and exits.

    Args:
        run: ``run(config, workdir)``, the plain function notebooks call too.
        check: ``check(config)``, raising ConfigError for anything the run could not do.
        argv: the arguments; those of the process by default.
    """
    sys.exit(_status(run, check, list(sys.argv[1:] if argv is None else argv)))


def parse(argv: Sequence[str]) -> tuple[Any, str, distributed.Cluster]:
    """Reads a command line: (config, workdir, cluster). Starts no device.

    Raises:
        ConfigError: anything wrong in it.
    """
    spec, overrides, others = config_module.split_arguments(argv)
    flags = _other_flags(others)
    if not spec:
        raise ConfigError("--config", Words("nothing"), "a config file, --config=configs/NAME.py:VARIANT")
    config = config_module.override(config_module.load(spec), overrides)
    check_common(config)
    if not flags.workdir:
        raise ConfigError("--workdir", Words("nothing"), "the folder of this run, --workdir=DIR")
    workdir = os.path.expandvars(os.path.expanduser(flags.workdir))
    if "$" in workdir:
        raise ConfigError("--workdir", workdir, "a path whose variables are set")
    if os.path.exists(workdir) and not os.path.isdir(workdir):
        raise ConfigError("--workdir", workdir, "a folder, not a file")
    return config, workdir, distributed.Cluster.from_flags(flags)


def check_common(config: Any) -> None:
    """Checks the fields every config shares (`configs/common.py`).

    Raises:
        ConfigError: one of them is wrong.
    """
    from maxrl_jax.runs.folder import wandb_writer

    integer(config, "seed", 0, 2**32 - 1)
    positive_int(config, "mesh.fsdp")
    non_negative_int(config, "checkpoint.every_steps")
    positive_int(config, "checkpoint.max_to_keep")
    positive_int(config, "log.every_steps")
    in_range(config, "log.console_seconds", 0.0)
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

    Quiets absl's log: orbax writes a traceback there for each of its threads that a failed save passes through,
    and the exception itself ends in one line of ours.
    """
    from absl import logging

    logging.set_verbosity(logging.FATAL)
    sys.unraisablehook = _without_closed_loops(sys.unraisablehook)
    if config.deterministic and "--xla_gpu_deterministic_ops" not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_gpu_deterministic_ops=true"
    if config.compilation_cache:
        import jax

        jax.config.update("jax_compilation_cache_dir", config.compilation_cache)


def _status(run: Main, check: Check, argv: list[str]) -> int:
    """The exit status of a run, after one line on standard error for what ended it early."""
    if any(argument in ("-h", "--help") for argument in argv):
        print(_usage(argv))
        return 0
    try:
        config, workdir, cluster = parse(argv)
        set_up(config)
        cluster.start()  # before the driver's check, which may ask how many devices there are
        check(config)
        paths.make_writable(workdir)  # before anything is compiled
        run(config, workdir)
    except ConfigError as error:
        return _say(error, 2)
    except (NotFinite, CheckpointError) as error:
        return _say(error, 1)
    except Interrupted as error:
        return _say(error, 128 + error.signum)
    except KeyboardInterrupt:
        return _say("interrupted", 130)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        return _say(f"cannot write to {error.filename or 'the run folder'}: {error.strerror}", 1)
    return 0


def _without_closed_loops(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Leaves out what tensorstore's unfinished writes and reads say when they outlive a failed one."""

    def quieter(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            hook(unraisable)

    return quieter


def _say(error: Any, status: int) -> int:
    print(f"{'error: ' if status <= 2 else ''}{error}", file=sys.stderr, flush=True)
    return status


def _other_flags(arguments: Sequence[str]) -> Any:
    from absl import flags

    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "folder of this run; the same again resumes it", flag_values=values)
    distributed.define_flags(values)
    try:
        leftover = values(["", *arguments])[1:]
    except flags.UnrecognizedFlagError as error:
        known = ["config", "config.FIELD", *values]
        close = config_module.suggestion(error.flagname, known)
        raise ConfigError(f"--{error.flagname}", Words("an unknown flag"), "--" + ", --".join(known) + close) from None
    except flags.Error as error:
        raise ConfigError("command line", " ".join(arguments), str(error)) from None
    if leftover:
        raise ConfigError("command line", leftover[0], "flags only, --NAME=VALUE")
    return values


def _usage(argv: Sequence[str]) -> str:
    """Help: the flags, and with --config the fields of that config."""
    text = (
        "usage: python -m experiments.NAME --config=configs/NAME.py:VARIANT --workdir=DIR"
        " [--config.FIELD=VALUE ...]\n"
        "  --workdir=DIR            folder of this run; the same again resumes it\n" + distributed.HELP
    )
    spec = config_module.split_arguments(argv)[0]
    if spec:
        config = config_module.load(spec)
        fields = config_module.flatten(config.to_dict())
        text += f"fields of {spec}:\n" + "\n".join(f"  --config.{key}={value}" for key, value in fields.items())
    return text
