"""Problems are read as their authors publish them, and a wrong file is named in one line."""

import decimal
import json
import math
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


WRONG = [
    ("data.jsonl", "", "data.jsonl: got no rows, allowed: one problem or more"),
    ("data.jsonl", '{"prompt": "p", "answer": "1"}\n\n{"prompt"', "data.jsonl:3: got broken JSON (Expecting ':'"),
    ("data.jsonl", "[1]\n", "data.jsonl:1: got a list, allowed: one JSON object a line"),
    ("data.jsonl", "[" * 99_999, "data.jsonl:1: got broken JSON (maximum recursion depth"),
    ("data.jsonl", b"\xff\xfe", "data.jsonl: got bytes that are no text ("),
    ("data.jsonl", '{"prompt": ["p"], "answer": "1"}', "column 'prompt': got a list, allowed: text or a number"),
    ("data.jsonl", '{"prompt": "\\ud800.", "answer": "1"}', "data.jsonl:1, column 'prompt': got half of a surrogate"),
    ("data.jsonl", '{"prompt": "p", "answer": -Infinity}', "got -inf, allowed: text or a finite number"),
    ("data.jsonl", '{"prompt": "p", "answer": NaN}', "got nan, allowed: text or a finite number"),
    ("data.jsonl", '{"prompt": "p", "answer": 1e999}', "column 'answer': got 1e999, allowed: text or a finite number"),
    ("data.parquet", "no", "data.parquet: got no Parquet ("),
    ("data.csv", "a,b", "got a name that ends in '.csv', allowed: .jsonl or .parquet"),
    ("absent.jsonl", None, "absent.jsonl: got no such file, allowed: a local file"),
]


@pytest.mark.parametrize(("name", "content", "message"), WRONG)
def test_wrong_files_are_one_line(tmp_path, name, content, message):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(mathematics.InputError, match=re.escape(message)) as caught:
        mathematics.read_records(str(path))
    assert re.fullmatch(r"[^\n]+: got [^\n]+, allowed: [^\n]+", str(caught.value))


@pytest.mark.parametrize("compression", ["snappy", "zstd"])
def test_a_damaged_page_is_one_line(tmp_path, compression):
    file = tmp_path / "data.parquet"
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"prompt": f"p{place} " * 9, "answer": str(place)} for place in range(200)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), file, compression=compression)
    content = bytearray(file.read_bytes())
    content[40:400] = b"\xff" * 360
    file.write_bytes(content)
    with pytest.raises(mathematics.InputError, match=r"data.parquet: got no Parquet \(.*\), allowed: a Parquet file"):
        mathematics.read_records(str(file))


@pytest.mark.parametrize("written", [b"\xef\xbb\xbf%s\n%s\n", b"%s\r\n%s\r\n", b"\xef\xbb\xbf%s\r\n\r\n%s"])
def test_a_byte_order_mark_and_other_line_ends_are_read(tmp_path, written):
    file = tmp_path / "data.jsonl"
    file.write_bytes(written % (b'{"prompt": "p\xe2\x80\xa8q", "answer": "1"}', b'{"prompt": "r", "answer": 2}'))
    records = mathematics.read_records(str(file))
    assert [(record.prompt, record.gold) for record in records] == [("p\u2028q", "1"), ("r", "2")]
    assert records[0].place == f"{file}:1"


@pytest.mark.parametrize(
    ("written", "gold"),
    [
        ("1e-05", "0.00001"),
        ("1e22", "10000000000000000000000"),
        ("-1.5E-7", "-0.00000015"),
        ("1.50e1", "15"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("123456789012345678901234567890.5", "123456789012345678901234567890.5"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_number_in_json_is_its_digits_without_an_exponent(tmp_path, written, gold):
    file = tmp_path / "data.jsonl"
    file.write_text(f'{{"prompt": 7, "answer": {written}}}\n')
    assert mathematics.read_records(str(file)) == [Record("7", gold)]


@pytest.mark.parametrize(
    ("kind", "value", "gold"),
    [
        (("float32",), 0.1, "0.1"),
        (("float32",), 16777216.0, "16777216"),
        (("float32",), 1e-7, "0.0000001"),
        (("float64",), 1e22, "10000000000000000000000"),
        (("int64",), 100, "100"),
        (("decimal128", 20, 5), decimal.Decimal("1.50000"), "1.5"),
        (("decimal256", 70, 30), decimal.Decimal("0." + "1" * 30), "0." + "1" * 30),
        (("float64",), math.nan, None),
        (("float32",), None, None),
    ],
)
def test_a_number_in_parquet_is_the_shortest_of_its_type(tmp_path, kind, value, gold):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    answers = pyarrow.array([value], getattr(pyarrow, kind[0])(*kind[1:]))
    parquet.write_table(pyarrow.table({"prompt": ["p"], "answer": answers}), tmp_path / "data.parquet")
    if gold is not None:
        assert mathematics.read_records(str(tmp_path / "data.parquet")) == [Record("p", gold)]
        return
    with pytest.raises(mathematics.InputError, match=r"data.parquet, row 0, column 'answer': got (nan|inf|nothing), "):
        mathematics.read_records(str(tmp_path / "data.parquet"))


def fails(answer):
    return {"72": "a"}[answer]


def refuses(answer):
    raise ValueError("an answer with a unit")


@pytest.mark.parametrize(
    ("gold", "said", "cause"),
    [
        (fails, "got 'x', on which the layout's gold fails ('x'), allowed: an answer it takes", KeyError),
        (lambda answer: 1 / 0, "got 'x', on which the layout's gold fails (division by zero)", ZeroDivisionError),
        (lambda answer: None, "got a NoneType from the layout's gold, allowed: text", None),
        (refuses, "got 'x', allowed: an answer with a unit", None),
    ],
)
def test_a_layout_that_fails_is_one_line_with_its_own_exception_as_the_cause(file, gold, said, cause):
    layout = mathematics.Layout("prompt", "answer", "", gold)
    with pytest.raises(mathematics.InputError, match=re.escape(f"column 'answer': {said}")) as caught:
        mathematics.read_records(write(file, [{"prompt": "p", "answer": "x"}]), layout)
    assert type(caught.value.__cause__) is (type(None) if cause is None else cause)


def test_an_unknown_layout_lists_the_others(tmp_path):
    with pytest.raises(mathematics.InputError, match="layout: got 'gsm', allowed: gsm8k, polaris, math500, plain"):
        mathematics.read_records(str(tmp_path / "data.jsonl"), "gsm")
    with pytest.raises(mathematics.InputError, match=r"layout: got a dict, allowed: a mathematics.Layout"):
        mathematics.read_records(str(tmp_path / "data.jsonl"), {"question": "prompt"})
