r"""Problems and their answers from local files, as they are published.

    records = mathematics.read_records("train.jsonl", "gsm8k")     # [Record(prompt=..., gold=...), ...]

A file is JSON lines (.jsonl) or Parquet (.parquet) with a column of questions and a column of answers. What is
appended to a question is that of the authors' release (MaxRL, appendix E), so that prompts are comparable.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from maxrl_jax.tasks.mathematics.errors import InputError


@dataclasses.dataclass(frozen=True)
class Record:
    """One problem.

    Attributes:
        prompt: the user's turn, instruction included.
        gold: the right answer, without a box.
    """

    prompt: str
    gold: str


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


def read_records(path: str, layout: str | Layout = "plain", *, question: str = "", answer: str = "") -> list[Record]:
    """Reads a file of problems.

    Args:
        path: a local .jsonl or .parquet file.
        layout: one of ``LAYOUTS`` by name, or one of your own.
        question: column of questions, where the layout's is not it.
        answer: column of answers, likewise.

    Raises:
        InputError: no such file, layout or column, a broken line, a row without a question or an answer, no rows.
    """
    if isinstance(layout, str):
        if layout not in LAYOUTS:
            raise InputError("layout", repr(layout), ", ".join(LAYOUTS))
        layout = LAYOUTS[layout]
    columns = (question or layout.question, answer or layout.answer)
    records = []
    for place, row in _rows(path, columns):
        texts = [_text(row[column], f"{place}, column {column!r}") for column in columns]
        try:
            records.append(Record(texts[0] + layout.instruction, layout.gold(texts[1])))
        except ValueError as error:
            raise InputError(f"{place}, column {columns[1]!r}", repr(texts[1]), str(error)) from None
    if not records:
        raise InputError(path, "no rows", "one problem or more")
    return records


def _rows(path: str, columns: tuple[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a file, each with its place in words."""
    file = pathlib.Path(path)
    if file.suffix not in (".jsonl", ".parquet"):
        raise InputError(path, f"a name that ends in {file.suffix!r}", ".jsonl or .parquet")
    if not file.is_file():
        raise InputError(path, "no such file", "a local file")
    return _json_lines(file, columns) if file.suffix == ".jsonl" else _parquet(file, columns)


def _json_lines(file: pathlib.Path, columns: tuple[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                place = f"{file}:{number}"
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise InputError(place, f"broken JSON ({error.msg})", "one JSON object a line") from None
                if not isinstance(row, dict):
                    raise InputError(place, f"a {type(row).__name__}", "one JSON object a line")
                _check_columns(place, columns, row)
                yield place, row
    except UnicodeDecodeError as error:
        raise InputError(str(file), f"bytes that are no text ({error.reason})", "JSON lines in UTF-8") from None


def _parquet(file: pathlib.Path, columns: tuple[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError:
        raise ImportError("pyarrow is not installed: pip install 'maxrl-jax[llm]'") from None

    try:
        with parquet.ParquetFile(file) as table:
            _check_columns(str(file), columns, table.schema_arrow.names)
            rows = table.read(columns=list(columns)).to_pylist()
    except ArrowInvalid as error:
        raise InputError(str(file), f"no Parquet ({error})", "a Parquet file") from None
    for number, row in enumerate(rows):
        yield f"{file}, row {number}", row


def _check_columns(place: str, wanted: tuple[str, str], found: Any) -> None:
    for column in wanted:
        if column not in found:
            raise InputError(place, f"no column {column!r}", "one of " + ", ".join(map(repr, found)))


def _text(value: Any, place: str) -> str:
    """A string as it is, a number as it is written."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise InputError(place, "nothing" if value is None else f"a {type(value).__name__}", "text or a number")
    if not value.strip():
        raise InputError(place, "empty text", "text or a number")
    return value
