"""Recomputes the numbers of README.md and results/README.md from committed runs, and fails where a text differs.

    python -m experiments.results.check [--write] [FILE.md ...]

A text marks its numbers with an expression of `experiments.results.numbers`: between ``<!--= EXPRESSION -->`` and
``<!--/-->``, or in the table below a line with ``<!--= EXPRESSION -->`` alone. All numbers there must be the values
of the expression, in order, to their last digit. Of a table the first column and those whose heading begins with
"published" are not compared. --write puts the recomputed numbers in, with as many digits as they had.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.results import numbers
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.command_line import Parser, path, say_error

ROOT = Path(__file__).resolve().parents[2]
TEXTS = (ROOT / "README.md", ROOT / "results" / "README.md")

_MARK = re.compile(r"<!--= (.*?) -->", re.DOTALL)
_END = "<!--/-->"
_NUMBER = re.compile(r"(?<![\w.@=/-])-?\d[\d,]*(?:\.\d+)?(?![\w.]*[A-WYZa-wyz@])")


def main(arguments: list[str] | None = None) -> int:
    """Checks the texts; returns the exit status: 1 where a number differs."""
    parser = Parser("python -m experiments.results.check", __doc__)
    parser.add_argument("texts", nargs="*", type=path, metavar="FILE.md", help="texts instead of the two READMEs")
    parser.add_argument("--write", action="store_true", help="put the recomputed numbers in")
    try:
        options = parser.read(arguments)
        wrong, count = [], 0
        for file in options.texts or TEXTS:
            if not file.is_file():
                raise ConfigError("FILE.md", str(file), "a file that exists")
            text = file.read_text(encoding="utf-8")
            new, found, checked = check(text)
            wrong += [f"{file}:{line}: {said}" for line, said in found]
            count += checked
            if options.write:
                file.write_text(new, encoding="utf-8")
    except ConfigError as error:
        return say_error(error, 2)
    print("\n".join(wrong), file=sys.stderr)
    print(f"{count} numbers recomputed, {len(wrong)} differ{' (written)' if options.write else ''}")
    return int(bool(wrong) and not options.write)


def check(text: str) -> tuple[str, list[tuple[int, str]], int]:
    """The text with the recomputed numbers, what differs by line, and how many numbers were compared."""
    new, end, wrong, count = [], 0, [], 0
    for mark in _MARK.finditer(text):
        spans = list(_numbers(text, mark.end()))
        line = text.count("\n", 0, mark.start()) + 1
        try:
            values = list(_flat(eval(mark[1], dict(vars(numbers)))))  # our own text
        except Exception as error:
            wrong.append((line, f"{mark[1]}: {type(error).__name__}: {error}"))
            continue
        if len(values) != len(spans):
            wrong.append((line, f"{mark[1]}: {len(values)} values, {len(spans)} numbers in the text"))
            continue
        for (start, stop), value in zip(spans, values, strict=True):
            shown, digits = text[start:stop], len(text[start:stop].partition(".")[2])
            count += 1
            if abs(float(shown.replace(",", "")) - value) <= 0.5001 * 10**-digits:
                continue
            right = f"{value:{',' if ',' in shown else ''}.{digits}f}"
            wrong.append((text.count("\n", 0, start) + 1, f"{shown} is {right} ({value:.6g}), by {mark[1]}"))
            new += [text[end:start], right]
            end = stop
    return "".join([*new, text[end:]]), wrong, count


def _numbers(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Where the numbers are that a mark, which ends at ``start``, stands for."""
    if not text.startswith("\n|", start):
        stop = text.find(_END, start)
        yield from (found.span() for found in _NUMBER.finditer(text, start, stop if stop >= 0 else start))
        return
    stop = text.find("\n\n", start)
    rows = [(m.start(), m[0]) for m in re.compile(r"^\|.*$", re.MULTILINE).finditer(text, start, stop % len(text))]
    published = [cell.strip().startswith("published") for cell in rows[0][1].split("|")[2:-1]]
    for place, row in rows[2:]:
        places = [place + i for i, letter in enumerate(row) if letter == "|"][1:]
        for skip, low, high in zip(published, places, places[1:], strict=False):
            if not skip:
                yield from (found.span() for found in _NUMBER.finditer(text, low, high))


def _flat(value: Any) -> Iterator[float]:
    try:
        parts = iter(value)
    except TypeError:  # a number, or an array of one
        yield float(value)
        return
    for one in parts:
        yield from _flat(one)


if __name__ == "__main__":
    sys.exit(main())
