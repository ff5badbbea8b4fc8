"""The parts of every command: flags that are read strictly, and one line and an exit status for what ends it early."""

import argparse
import errno
import importlib
import os
import pathlib
import signal
import sys
import sysconfig
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from maxrl_jax.errors import ConfigError, one_line, suggestion
from maxrl_jax.runs.config.override import expanded
from maxrl_jax.runs.folder.stopping import CheckpointError, Failed, Interrupted, NotFinite

_OURS = tuple(str(pathlib.Path(__file__).parents[2] / name) for name in ("maxrl_jax", "experiments"))


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises ConfigError for what it cannot read, and shows its text as written."""

    def __init__(self, prog: str, text: str | None):
        """Makes the parser.

        Args:
            prog: the command, ``python -m experiments.NAME``.
            text: what --help says before the flags: the docstring of the command's module.
        """
        super().__init__(
            prog=prog,
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise ConfigError("command line", None, self._flags(), shown=message)

    def read(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        """The flags of a command line, by default the process's own.

        Raises:
            ConfigError: one is unknown (close names are given), lacks its value or has a wrong one.
        """
        found, rest = self.parse_known_args(sys.argv[1:] if arguments is None else list(arguments))
        for argument in rest:
            if not argument.startswith("-"):
                raise ConfigError("command line", argument, "flags only, --NAME=VALUE")
            name = argument.partition("=")[0]
            raise ConfigError(name, None, self._flags() + suggestion(name, self._names()), shown="an unknown flag")
        return found

    def _names(self) -> list[str]:
        return [name for action in self._actions for name in action.option_strings if name.startswith("--")]

    def _flags(self) -> str:
        return ", ".join(self._names())


def path(text: str) -> pathlib.Path:
    """The type of a path flag: ``~`` and ``$VARIABLES`` are replaced."""
    try:
        return pathlib.Path(expanded("path", text))
    except ConfigError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not {error.allowed}") from None


def add_config(parser: Parser) -> None:
    """Lists --config among the flags; `split_arguments` takes it, and the --config.FIELD=VALUE, out before."""
    parser.add_argument("--config", metavar="FILE.py:VARIANT", help="config file, and which of its variants")


def exit_with(main: Callable[[Sequence[str]], int | None], arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs ``main(arguments)`` and exits with what it returns, or as `status` says."""
    sys.exit(status(lambda: main(sys.argv[1:] if arguments is None else arguments)))


def status(command: Callable[[], int | None]) -> int:
    """The exit status of a command, after one line on standard error for what ended it early.

    0, or what the command returns; 1 for a failure that is named (not finite, checkpoint, disk, a judge); 2 for a wrong
    setting; 128 + signal for SIGTERM or SIGINT.
    """
    try:
        return command() or 0
    except ConfigError as error:
        return say_error(error, 2)
    except (NotFinite, CheckpointError, Failed) as error:
        return say_error(error, 1)
    except Interrupted as error:
        print(error, file=sys.stderr, flush=True)
        return 128 + error.signum
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
        sys.stdout.flush()
        # The interpreter's own end would wait for the compiled call that was cut short, and then crash in it.
        os._exit(128 + signal.SIGINT)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return say_error(f"cannot write to {error.filename or 'the run folder'}: {error.strerror}", 1)
        if not (call := _users_call(error)):
            raise
        failed = Failed(f"{call} raised {type(error).__name__}: {one_line(error)}")
        failed.__cause__ = error
        return say_error(failed, 1)


def say_error(error: Any, status: int) -> int:
    """One line on standard error, and the traceback of a user's own exception behind it; returns the exit status."""
    print(f"error: {error}", file=sys.stderr, flush=True)
    if isinstance(error, ConfigError | Failed) and error.__cause__ is not None and _is_users(error.__cause__):
        traceback.print_exception(error.__cause__)
    return status


def _is_users(error: BaseException) -> bool:
    """Whether code outside this package was at work, or the exception comes from a worker process."""
    places = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    ours = (_OURS[0], "<frozen", os.path.dirname(importlib.__file__))
    return error.__cause__ is not None or not all(place.startswith(ours) for place in places) or not places


def _users_call(error: Exception) -> str:
    """The function of a user's own that raised this and the line that called it; "" where the fault is one of ours."""
    libraries = ("<", *sysconfig.get_paths().values())
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(_OURS) or not frame.filename.startswith(libraries)
    ]
    last = max(number for number, frame in enumerate(frames) if frame.filename.startswith(_OURS))
    by, called = frames[last], frames[last + 1 :][:1]
    if not called or os.path.dirname(by.filename) == os.path.dirname(__file__):  # a driver of the user's own
        return ""
    return f"{called[0].name} of {called[0].filename}, called from {by.filename}:{by.lineno},"
