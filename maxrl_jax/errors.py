"""The errors of a wrong setting and of a file that cannot be used, and the sentences they are made of."""

import contextlib
import difflib
import functools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

Result = TypeVar("Result")

_SENTENCE = re.compile(r"(?P<place>.+?): got (?P<got>.+?), allowed: (?P<allowed>.+)", re.DOTALL)


class ConfigError(ValueError):
    """A wrong setting. ``str()`` is one line: the key, what was got, what is allowed.

    A user's own exception behind it is its cause, whose traceback commands show below the line.

    Attributes:
        key: dotted name of the field (or flag) to change.
        got: the value found there.
        allowed: what would have been accepted, in words.
        shown: how the line shows ``got``.
    """

    def __init__(self, key: str, got: Any, allowed: str, *, shown: str | None = None):
        """Makes the error; ``shown`` are words that stand for ``got``, by default its repr."""
        self.key, self.got, self.allowed = key, got, allowed
        self.shown = _cut(repr(got)) if shown is None else shown
        super().__init__(" ".join(f"{key}: got {self.shown}, allowed: {allowed}".split()))

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(type(self), shown=self.shown), (self.key, self.got, self.allowed)


class InputError(ConfigError):
    """A data file or a model folder that does not hold what is needed; the key is the file, with its line or row."""

    def __init__(self, place: str, got: Any, allowed: str, *, shown: str | None = None):
        """Makes the error: ``got`` is a description of the content."""
        super().__init__(place, got, allowed, shown=_cut(str(got)) if shown is None else shown)


@contextlib.contextmanager
def foreign(place: str, got: str, allowed: str, *, users: bool = False) -> Iterator[None]:
    """Turns any exception of a library, a file's content or a user's code into an InputError, with its message.

    With ``users``, for the user's own code, the exception is the error's cause, so its traceback is shown.
    """
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        raise InputError(place, f"{got} ({one_line(error)})", allowed) from (error if users else None)


def as_config_error(key: str, got: Any, call: Callable[[], Result]) -> Result:
    """The call's result; its ValueError, or a file that is not there, as a ConfigError about ``key``.

    A message that is "place: got G, allowed: A" gives G and A to the line, and place if it is a file and no argument.

    Example:
        >>> as_config_error("n", "4", lambda: int("4"))
        4
    """
    try:
        return call()
    except (ValueError, FileNotFoundError) as error:  # their messages say what is allowed
        if isinstance(error, ConfigError) and not isinstance(error, InputError):
            raise
        said = _SENTENCE.fullmatch(str(error))
        if not said:
            raise ConfigError(key, got, str(error)) from None
        is_file = isinstance(error, InputError) or re.search(r"[^\w. ]", said["place"])
        shown = f"{said['place']}: {said['got']}" if is_file else said["got"]
        raise ConfigError(key, got, said["allowed"], shown=shown) from error.__cause__


def suggestion(word: Any, options: Iterable[Any]) -> str:
    """'; did you mean X?' when an option is close to the word, else ''."""
    close = difflib.get_close_matches(str(word), [str(option) for option in options], n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def one_line(error: BaseException) -> str:
    """An exception of another library as a part of a sentence: its message, cut, or else its type."""
    return _cut(" ".join(str(error).split()) or type(error).__name__)


def _cut(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
