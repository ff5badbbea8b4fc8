r"""The work of one process that judges: an answer against its gold, by Math-Verify or by a user's own function.

Math-Verify follows the rules of the authors' release (MaxRL): the gold stands in a box and is read as LaTeX alone, an
answer is read as a plain expression or as LaTeX. A box is not required of an answer: "final answer is ..." and boxes go
before other numbers, the rightmost first. The process that trains never imports Math-Verify, whose time-outs need
SIGALRM.
"""

import dataclasses
import functools
import importlib
import inspect
import logging
import signal
import traceback
from collections.abc import Callable

REASONS = ("right", "wrong", "no answer", "cut", "unreadable gold", "error", "time-out", "died")
RIGHT, WRONG, NO_ANSWER, CUT, UNREADABLE_GOLD, ERROR, TIMED_OUT, DIED = range(len(REASONS))

_failures: list[str] = []  # of `prepare` in this process


def boxed(gold: str) -> str:
    """The gold as Math-Verify reads it."""
    return "\\boxed{" + gold + "}"


def prepare(grade: Callable[[str, str], int] | None = None) -> None:
    """Makes a new worker ready, so that no answer's time is spent on imports.

    Args:
        grade: judges in this worker; by default `grade` of this module.
    """
    # The default action ends a worker at once, even inside a long call of C code, where no Python handler would run.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        if grade is None:
            _metric()
        elif not inspect.isfunction(grade):
            grade.load()  # type: ignore[attr-defined]
    except BaseException as error:  # a module may even exit
        _failures.extend(traceback.format_exception(error))


def failure() -> str:
    """The traceback of what this worker could not import; "" where it is ready."""
    return "".join(_failures)


@dataclasses.dataclass(frozen=True)
class OwnGrade:
    """``grade(answer, gold) -> index into REASONS`` from a user's ``function(answer, gold) -> whether it is right``.

    Attributes:
        name: ``my.module:function``, imported in the worker.
    """

    name: str

    def __call__(self, answer: str, gold: str) -> int:
        """Judges one answer; an exception of the function is counted as an error, and the answer as wrong."""
        return RIGHT if self.function(answer, gold) else WRONG

    def load(self) -> None:
        """Imports the function."""
        _ = self.function

    @property
    def function(self) -> Callable[[str, str], bool]:
        """The function of this name."""
        module, _, attribute = self.name.partition(":")
        return getattr(importlib.import_module(module), attribute)


def grade(answer: str, gold: str) -> int:
    """Judges one answer.

    Returns:
        An index into REASONS: right, wrong, no answer, unreadable gold, time-out (of Math-Verify's own) or error.
    """
    from math_verify.errors import TimeoutException  # a BaseException

    metric, limits = _metric()
    limits.reached = False
    try:
        reward, extracted = metric([boxed(gold)], [answer])
    except (Exception, TimeoutException):
        return TIMED_OUT if limits.reached else ERROR if _readable(gold) else UNREADABLE_GOLD
    if reward == 1.0:
        return RIGHT
    if limits.reached:
        return TIMED_OUT
    return NO_ANSWER if not extracted[1] else WRONG


class _Limits(logging.Handler):
    """Sees Math-Verify's warnings that it gave up reading, printing or comparing an expression."""

    reached = False

    def emit(self, record: logging.LogRecord) -> None:
        self.reached |= str(record.msg).startswith("Timeout")


@functools.cache
def _metric() -> tuple[Callable, _Limits]:
    from math_verify.metric import math_metric
    from math_verify.parser import ExprExtractionConfig, LatexExtractionConfig

    # Its warnings are not printed: one for each answer without a number.
    log, limits = logging.getLogger("math_verify"), _Limits()
    log.handlers, log.propagate = [limits], False
    log.setLevel(logging.WARNING)
    metric = math_metric(
        gold_extraction_target=(LatexExtractionConfig(),),
        pred_extraction_target=(ExprExtractionConfig(), LatexExtractionConfig()),
    )
    return metric, limits


def _readable(gold: str) -> bool:
    from math_verify.parser import LatexExtractionConfig, parse

    return bool(parse(boxed(gold), (LatexExtractionConfig(),)))
