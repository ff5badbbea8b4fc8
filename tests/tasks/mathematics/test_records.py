"""Problems are read as their authors publish them, and a wrong file is named in one line."""

import json
import re

import pytest

from maxrl_jax.tasks import mathematics
from maxrl_jax.tasks.mathematics import Record

GSM8K = {
    "question": "Natalia sold clips to 48 of her friends, and half as many in May. How many?",
    "answer": "In May she sold 48/2 = <<48/2=24>>24 clips.\nIn all 48+24 = <<48+24=72>>72 clips.\n#### 72",
}
STEP_BY_STEP = "\nPlease reason step by step, and put your final answer within \\boxed{{}}."


def write(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return str(path)


@pytest.fixture(params=["jsonl", "parquet"])
def file(request, tmp_path):
    return tmp_path / f"data.{request.param}"


def test_gsm8k_as_it_is_published(file):
    thousands = {"question": "How much?", "answer": "It is <<2*500=1000>>1000.\n#### 1,000"}
    negative = {"question": "How cold?", "answer": "#### -5 "}
    prompt = " Let's think step by step and output the final answer within \\boxed{}."
    assert mathematics.read_records(write(file, [GSM8K, thousands, negative]), "gsm8k") == [
        Record(GSM8K["question"] + prompt, "72"),
        Record("How much?" + prompt, "1000"),
        Record("How cold?" + prompt, "-5"),
    ]


def test_polaris_math500_and_plain_files(file):
    problem = {"problem": "Find $x$.", "answer": "\\frac{1}{2}", "difficulty": "3/8", "unique_id": "a"}
    path = write(file, [problem])
    assert mathematics.read_records(path, "polaris") == [Record("Find $x$." + STEP_BY_STEP, "\\frac{1}{2}")]
    assert mathematics.read_records(path, "math500") == mathematics.read_records(path, "polaris")
    assert mathematics.read_records(path, "plain", question="problem") == [Record("Find $x$.", "\\frac{1}{2}")]
    path = write(file, [{"prompt": "2 + 3 = ?", "answer": 5}])
    assert mathematics.read_records(path) == [Record("2 + 3 = ?", "5")]


def test_a_layout_and_columns_of_ones_own(file):
    layout = mathematics.Layout("q", "a", "!", gold=str.upper)
    path = write(file, [{"q": "why", "a": "x", "b": "y"}])
    assert mathematics.read_records(path, layout) == [Record("why!", "X")]
    assert mathematics.read_records(path, layout, answer="b") == [Record("why!", "Y")]


def test_wrong_rows_are_named(file):
    place = "data.jsonl:2" if file.suffix == ".jsonl" else "data.parquet, row 1"
    good = {"prompt": "p", "answer": "1"}
    for row, message in (
        ({"prompt": "p", "answer": None}, "column 'answer': got nothing, allowed: text or a number"),
        ({"prompt": " ", "answer": "1"}, "column 'prompt': got empty text, allowed: text or a number"),
    ):
        with pytest.raises(mathematics.InputError, match=re.escape(f"{place}, {message}")):
            mathematics.read_records(write(file, [good, row]))
    rows = [GSM8K, {"question": "q", "answer": "72"}]
    with pytest.raises(mathematics.InputError, match=r"'answer': got '72', allowed: a solution that ends with '#### '"):
        mathematics.read_records(write(file, rows), "gsm8k")
    with pytest.raises(mathematics.InputError, match="got no column 'problem', allowed: one of 'question', 'answer'"):
        mathematics.read_records(write(file, [GSM8K]), "polaris")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data.jsonl", "", "data.jsonl: got no rows, allowed: one problem or more"),
        ("data.jsonl", '{"prompt": "p", "answer": "1"}\n\n{"prompt"', "data.jsonl:3: got broken JSON (Expecting ':'"),
        ("data.jsonl", "[1]\n", "data.jsonl:1: got a list, allowed: one JSON object a line"),
        ("data.jsonl", b"\xff\xfe", "data.jsonl: got bytes that are no text (invalid start byte), allowed"),
        ("data.jsonl", '{"prompt": ["p"], "answer": "1"}', "column 'prompt': got a list, allowed: text or a number"),
        ("data.jsonl", '{"prompt": "p", "answer": true}', "column 'answer': got a bool, allowed: text or a number"),
        ("data.parquet", "no", "data.parquet: got no Parquet ("),
        ("data.csv", "a,b", "got a name that ends in '.csv', allowed: .jsonl or .parquet"),
        ("absent.jsonl", None, "absent.jsonl: got no such file, allowed: a local file"),
    ],
)
def test_wrong_files_are_one_line(tmp_path, name, content, message):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(mathematics.InputError, match=re.escape(message)) as caught:
        mathematics.read_records(str(path))
    assert "\n" not in str(caught.value)


def test_an_unknown_layout_lists_the_others(tmp_path):
    with pytest.raises(mathematics.InputError, match="layout: got 'gsm', allowed: gsm8k, polaris, math500, plain"):
        mathematics.read_records(str(tmp_path / "data.jsonl"), "gsm")
