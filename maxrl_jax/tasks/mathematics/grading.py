r"""What a worker process does: one answer against one gold, by Math-Verify under the rules of the authors' release.

The release (MaxRL) puts the gold in a box, reads it as LaTeX alone, and reads an answer as a plain expression or as
LaTeX. A box is not required of an answer: "final answer is ..." and boxes go before other numbers, the rightmost
first. Imported by the workers; the process that trains never imports Math-Verify, whose time-outs need SIGALRM.
"""

import functools
import logging
import signal
from collections.abc import Callable

REASONS = ("right", "wrong", "no answer", "cut", "unreadable gold", "error", "time-out", "died")
RIGHT, WRONG, NO_ANSWER, CUT, UNREADABLE_GOLD, ERROR, TIMED_OUT, DIED = range(len(REASONS))


def boxed(gold: str) -> str:
    """The gold as Math-Verify reads it."""
    return "\\boxed{" + gold + "}"


def prepare(math_verify: bool = True) -> None:
    """Makes a new worker ready, so that no answer's time is spent on imports.

    Args:
        math_verify: whether it is going to judge by Math-Verify.
    """
    # The default action ends a worker at once, even inside a long call of C code, where no Python handler would run.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if math_verify:
        logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # else a warning for each answer without a number
        _metric()


def grade(answer: str, gold: str) -> int:
    """Judges one answer.

    Returns:
        An index into REASONS: right, wrong, no answer, unreadable gold or error.
    """
    from math_verify.errors import TimeoutException  # a BaseException

    try:
        reward, extracted = _metric()([boxed(gold)], [answer])
    except (Exception, TimeoutException):
        return ERROR if _readable(gold) else UNREADABLE_GOLD
    if reward == 1.0:
        return RIGHT
    # None where the expressions took too long to print.
    return NO_ANSWER if extracted is not None and not extracted[1] else WRONG


@functools.cache
def _metric() -> Callable:
    from math_verify.metric import math_metric
    from math_verify.parser import ExprExtractionConfig, LatexExtractionConfig

    return math_metric(
        gold_extraction_target=(LatexExtractionConfig(),),
        pred_extraction_target=(ExprExtractionConfig(), LatexExtractionConfig()),
    )


def _readable(gold: str) -> bool:
    from math_verify.parser import LatexExtractionConfig, parse

    return bool(parse(boxed(gold), (LatexExtractionConfig(),)))
