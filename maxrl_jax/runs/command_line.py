"""What every command has in common: flags that are read strictly, one line for a wrong one, exit status 2."""

import argparse
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from maxrl_jax.runs.config.errors import ConfigError, suggestion
from maxrl_jax.runs.config.override import expanded


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
    """Runs ``main(arguments)`` and exits: with what it returns, or after one line with 2 for a wrong setting."""
    try:
        sys.exit(main(sys.argv[1:] if arguments is None else arguments) or 0)
    except ConfigError as error:
        sys.exit(say_error(error, 2))


def say_error(error: Any, status: int) -> int:
    """One line on standard error; returns the exit status."""
    print(f"error: {error}", file=sys.stderr, flush=True)
    return status
