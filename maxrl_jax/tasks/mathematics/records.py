r"""Problems and their answers from local files, as they are published.

    records = mathematics.read_records("train.jsonl", "gsm8k")     # [Record(prompt=..., gold=...), ...]

A file is JSON lines (.jsonl) or Parquet (.parquet) with a column of questions and a column of answers. What is
appended to a question is that of the authors' release (MaxRL, appendix E), so that prompts are comparable.
"""

import dataclasses
import decimal
import json
import math
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from maxrl_jax.errors import InputError, foreign


@dataclasses.dataclass(frozen=True)
class Record:
    """One problem.

    Attributes:
        prompt: the user's turn, instruction included.
        gold: the right answer, without a box; or what another verifier needs, as a string the right answer.
        place: the line or row of its file.
        solution: an answer that SFT imitates; "" for none.
    """

    prompt: str
    gold: Any
    place: str = dataclasses.field(default="", compare=False)
    solution: str = ""


def _verbatim(answer: str) -> str:
    """The column is the answer."""
    return answer.strip()


def _after_hashes(answer: str) -> str:
    """GSM8K ends a solution with ``#### `` and the number, which may have thousands' commas.

    Raises:
        ValueError: no such line.
    """
    _, hashes, number = answer.rpartition("####")
    if not hashes or not number.strip():
        raise ValueError("a solution that ends with '#### ' and a number")
    return number.strip().replace(",", "")


@dataclasses.dataclass(frozen=True)
class Layout:
    r"""How a data set is written down.

    Attributes:
        question: name of the column of questions.
        answer: name of the column of answers.
        instruction: appended to each question.
        gold: from the answer's column to the gold; ValueError, in words what is allowed, for a broken one.
    """

    question: str
    answer: str
    instruction: str
    gold: Callable[[str], str] = _verbatim


_STEP_BY_STEP = "\nPlease reason step by step, and put your final answer within \\boxed{{}}."  # braces as released

LAYOUTS = {
    "gsm8k": Layout(
        "question", "answer", " Let's think step by step and output the final answer within \\boxed{}.", _after_hashes
    ),
    "polaris": Layout("problem", "answer", _STEP_BY_STEP),
    "math500": Layout("problem", "answer", _STEP_BY_STEP),
    "plain": Layout("prompt", "answer", ""),
}


def read_records(
    path: str, layout: str | Layout = "plain", *, question: str = "", answer: str = "", solution: str = ""
) -> list[Record]:
    """Reads a file of problems.

    Args:
        path: a local .jsonl or .parquet file.
        layout: one of ``LAYOUTS`` by name, or one of your own.
        question: column of questions, where the layout's is not it.
        answer: column of answers, likewise.
        solution: column of solutions; "" for none.

    Raises:
        InputError: no such file, layout or column, a broken line, a row without a question or an answer, no rows.
    """
    if isinstance(layout, str):
        if layout not in LAYOUTS:
            raise InputError("layout", repr(layout), ", ".join(LAYOUTS))
        layout = LAYOUTS[layout]
    if not isinstance(layout, Layout):
        raise InputError("layout", f"a {type(layout).__name__}", "a mathematics.Layout")
    columns = [question or layout.question, answer or layout.answer, *([solution] if solution else [])]
    records = []
    for place, row in _rows(path, columns):
        texts = [_text(row[column], f"{place}, column {column!r}") for column in columns]
        gold = _gold(layout, texts[1], f"{place}, column {columns[1]!r}")
        records.append(Record(texts[0] + layout.instruction, gold, place, texts[2] if solution else ""))
    if not records:
        raise InputError(path, "no rows", "one problem or more")
    return records


def _gold(layout: Layout, answer: str, place: str) -> str:
    try:
        with foreign(place, f"{answer!r}, on which the layout's gold fails", "an answer it takes", users=True):
            gold = layout.gold(answer)
    except InputError as error:
        if isinstance(error.__cause__, ValueError):  # in words what is allowed
            raise InputError(place, repr(answer), str(error.__cause__)) from None
        raise
    if not isinstance(gold, str):
        raise InputError(place, f"a {type(gold).__name__} from the layout's gold", "text")
    return gold


def _rows(path: str, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a file, each with its place in words."""
    file = pathlib.Path(path)
    if file.suffix not in (".jsonl", ".parquet"):
        raise InputError(path, f"a name that ends in {file.suffix!r}", ".jsonl or .parquet")
    if not file.is_file():
        raise InputError(path, "no such file", "a local file")
    return _json_lines(file, columns) if file.suffix == ".jsonl" else _parquet(file, columns)


def _json_lines(file: pathlib.Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    with foreign(str(file), "bytes that are no text", "JSON lines in UTF-8"):
        lines = file.read_text(encoding="utf-8-sig").split("\n")  # a byte order mark is skipped
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{file}:{number}"
        with foreign(place, "broken JSON", "one JSON object a line"):
            row = json.loads(line, parse_float=_Number, parse_int=_Number)
        if not isinstance(row, dict):
            raise InputError(place, f"a {type(row).__name__.strip('_').lower()}", "one JSON object a line")
        _check_columns(place, columns, row)
        yield place, row


def _parquet(file: pathlib.Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise ImportError("pyarrow is not installed: pip install 'maxrl-jax[llm]'") from None

    with foreign(str(file), "no Parquet", "a Parquet file"), parquet.ParquetFile(file) as content:
        _check_columns(str(file), columns, content.schema_arrow.names)
        table = content.read(columns=list(columns))
        rows = table.to_pylist()
    # Python has one floating-point type; the digits of a number are those of the column's.
    kinds = {
        name: {"halffloat": np.float16, "float": np.float32}.get(str(table.schema.field(name).type)) for name in columns
    }
    for number, row in enumerate(rows):
        for name, kind in kinds.items():
            row[name] = kind(row[name]) if kind and row[name] is not None else row[name]
        yield f"{file}, row {number}", row


def _check_columns(place: str, wanted: Sequence[str], there: Any) -> None:
    for column in wanted:
        if column not in there:
            raise InputError(place, f"no column {column!r}", "one of " + ", ".join(map(repr, there)))


class _Number(str):
    """A number of a JSON file, as its digits."""


def _text(value: Any, place: str) -> str:
    """A string as it is, a number as its shortest plain decimal; of a JSON file, as written where that is plain."""
    if isinstance(value, _Number) and not set(value) & set("eE"):
        return str(value)
    if isinstance(value, _Number | decimal.Decimal | np.floating | float | int) and not isinstance(value, bool):
        return _plain(value, place)
    if not isinstance(value, str):
        raise InputError(place, "nothing" if value is None else f"a {type(value).__name__}", "text or a number")
    if not value.strip():
        raise InputError(place, "empty text", "text or a number")
    with foreign(place, "half of a surrogate pair", "text that UTF-8 can write"):
        value.encode()
    return value


def _plain(value: Any, place: str) -> str:
    """Digits without an exponent, and without zeros behind the point."""
    if not math.isfinite(float(value)):
        raise InputError(place, str(value), "text or a finite number")
    if isinstance(value, np.floating | float):
        return np.format_float_positional(value, trim="-")
    if isinstance(value, _Number):
        value = decimal.Decimal(value)
        if not float(value) and value:
            raise InputError(place, str(value), "text or a number that float64 can tell from 0")
    text = format(value, "f") if isinstance(value, decimal.Decimal) else str(value)
    return text.rstrip("0").rstrip(".") if "." in text else text
