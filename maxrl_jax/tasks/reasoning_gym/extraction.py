r"""The answer that a text gives, taken out by a stated rule: the package's verifiers expect the bare answer.

Whatever the rule, a closed ``\boxed{...}`` goes before it, the last one.
"""

import re
from collections.abc import Iterable

from maxrl_jax.tasks.mathematics.boxes import last_box

RULES = ("number", "word", "line", "text", "box")
"""number: the last one; word: the last one without the punctuation around it; line: the last one that is not empty;
text: all of it; box: nothing but a box counts."""

# The minus of 5-3 is not a sign; a full stop that ends a sentence is no decimal point.
_NUMBER = re.compile(r"(?<![\w)])[-+]?\d[\d,]*(?:\.\d+)?(?:/\d+)?|\d[\d,]*(?:\.\d+)?(?:/\d+)?")


def extract(text: str, rule: str) -> str | None:
    """The answer; None where the text gives none."""
    box = last_box(text)
    if box is not None or rule == "box":
        return box
    text = text.strip()
    if rule == "text" or not text:
        return text or None
    if rule == "line":
        return text.splitlines()[-1].strip()
    if rule == "word":
        return text.split()[-1].strip(".,;:!?\"'`*()[]") or None
    numbers = _NUMBER.findall(text)
    return numbers[-1].rstrip(",") if numbers else None


def rule_for(golds: Iterable[str]) -> str:
    """The rule that reads every gold of a task: the narrowest of number, word, line and text."""
    golds = [gold.strip() for gold in golds]
    for rule in ("number", "word", "line"):
        if all(extract(gold, rule) == gold for gold in golds):
            return rule
    return "text"
