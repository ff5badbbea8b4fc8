"""The one error of a wrong setting, and the sentences it is made of."""

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

Result = TypeVar("Result")

_ABOUT_A_NAME = re.compile(r"[\w. ]+: got (?P<got>.+?), allowed: (?P<allowed>.+)")
"""The message of a function about one of its arguments, whose name is not that of the field."""


class ConfigError(ValueError):
    """A wrong setting. ``str()`` is one line: the key, what was got, what is allowed.

    Attributes:
        key: dotted name of the field (or flag) to change.
        got: the value found there.
        allowed: what would have been accepted, in words.
        shown: how the line shows ``got``.
    """

    def __init__(self, key: str, got: Any, allowed: str, *, shown: str | None = None):
        """Makes the error.

        Args:
            key: dotted name of the field (or flag) to change.
            got: the value found there.
            allowed: what would have been accepted, in words.
            shown: words that stand for ``got``, such as "no such field"; by default its repr.
        """
        self.key, self.got, self.allowed = key, got, allowed
        self.shown = _cut(repr(got)) if shown is None else shown
        super().__init__(" ".join(f"{key}: got {self.shown}, allowed: {allowed}".split()))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self.key, self.got, self.allowed, self.shown)


def as_config_error(key: str, got: Any, call: Callable[[], Result]) -> Result:
    """The call's result; its ValueError, or a file that is not there, as a ConfigError about ``key``.

    A message that is "name: got G, allowed: A" already gives G and A to the line, which names the field instead.

    Example:
        >>> as_config_error("n", "4", lambda: int("4"))
        4
    """
    try:
        return call()
    except ConfigError:
        raise
    except (ValueError, FileNotFoundError) as error:  # their messages say what is allowed
        said = _ABOUT_A_NAME.fullmatch(str(error))
        if said:
            raise ConfigError(key, got, said["allowed"], shown=said["got"]) from None
        raise ConfigError(key, got, str(error)) from None


def suggestion(word: Any, options: Iterable[Any]) -> str:
    """'; did you mean X?' when an option is close to the word, else ''."""
    close = difflib.get_close_matches(str(word), [str(option) for option in options], n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def one_line(error: BaseException) -> str:
    """What another library raised, as a part of a sentence: its message, cut, or else its type."""
    return _cut(" ".join(str(error).split()) or type(error).__name__)


def _cut(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _rebuilt(key: str, got: Any, allowed: str, shown: str) -> ConfigError:
    return ConfigError(key, got, allowed, shown=shown)
