"""A folder's tokenizer and chat template write prompts and read answers as transformers does."""

import json
import pathlib
import re

import pytest

pytest.importorskip("tokenizers")
pytest.importorskip("jinja2")

from maxrl_jax.tasks import mathematics
from tests.tasks.mathematics import folders

END_OF_TEXT, START, END = 0, 1, 2
GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden.json").read_text())


def load(folder, arguments=None, system="", **changes):
    return mathematics.Tokenizer.load(folders.write(folder, **changes), arguments, system)


@pytest.mark.parametrize("name", folders.VARIANTS)
def test_a_folder_is_read_as_transformers_reads_it(tmp_path, name):
    tokenizer = mathematics.Tokenizer.load(*folders.made(tmp_path, name))
    golden = GOLDEN[name]
    assert tokenizer.encode_prompt(folders.QUESTION) == golden["prompt"]
    listed = golden["generation"] if isinstance(golden["generation"], list) else [golden["generation"]]
    assert {golden["eos"], *listed} <= set(tokenizer.eos)
    assert tokenizer.eos[0] == golden["eos"]
    assert tokenizer.pad == (golden["eos"] if golden["pad"] is None else golden["pad"])


def test_ends_of_text_of_all_files_are_joined(tmp_path):
    files = {"generation": {"eos_token_id": [2, 0]}, "config": {"eos_token_id": 1}}
    assert load(tmp_path, **files).eos == (END, END_OF_TEXT, START)
    assert load(tmp_path, settings={}, **files).eos == (END, END_OF_TEXT, START)
    assert load(tmp_path, settings={"eos_token": None}, generation={}, config={"eos_token_id": 0}).eos == (END_OF_TEXT,)


def test_an_answer_is_read_up_to_its_first_end_without_special_tokens(tmp_path):
    tokenizer = load(tmp_path)
    five, six = tokenizer.tokens.encode("it is 5 — é").ids, tokenizer.tokens.encode("6").ids
    answer = [*five, START, *six, END, *five, END]
    assert tokenizer.decode_answer(answer) == "it is 5 — é6"
    assert tokenizer.end(answer) == len(five) + 2
    assert tokenizer.decode_answer(five) == "it is 5 — é"
    assert tokenizer.end(five) == len(five)
    assert tokenizer.decode_answer([END, *five]) == ""


def test_templates_are_found_where_models_have_them(tmp_path):
    named = [{"name": "tools", "template": "no"}, {"name": "default", "template": "named {{ messages[0].content }}"}]
    assert load(tmp_path, template=named).render("x") == "named x"
    (tmp_path / "chat_template.jinja").write_text("file {{ messages[0]['content'] }}")
    assert load(tmp_path).render("é") == "file é"


def test_templates_run_as_they_do_on_the_hub(tmp_path):
    template = (
        "{%- if tools is not none or documents is not none %}{{ raise_exception('tools') }}{%- endif %}\n"
        "{%- for message in messages %}\n"
        "    {%- if message.role == 'system' %}{% continue %}{% endif %}\n"
        "    {%- if strftime_now is defined %}{{ strftime_now('%Y') }}{% endif %}\n"
        "    {{ message.content }}\n"
        "{% endfor %}\n"
    )
    assert load(tmp_path, template=template).render("x") == "    x\n"  # only blocks lose their indent
    assert load(tmp_path, {"strftime_now": "2025-01-31"}, template=template).render("x") == "2025    x\n"


@pytest.mark.parametrize(
    ("date", "written"),
    [("2025-01-31", "31 Jan 2025"), ("2024-07-26T12:30:00", "26 Jul 2024"), ("20230101", "01 Jan 2023")],
)
def test_a_date_is_an_argument(tmp_path, date, written):
    template = "{{ strftime_now('%d %b %Y') }} {{ messages[0].content }}"
    assert load(tmp_path, {"strftime_now": date}, template=template).render("x") == f"{written} x"


HUMAN = "{% for m in messages %}{% if m.role == 'human' %}{{ m.content }}{% endif %}{% endfor %}Answer:"
PARTS = "{% for m in messages %}{% for p in m.content if p.type == 'text' %}{{ p.text }}{% endfor %}{% endfor %}Answer:"
CLOCK = "{{ strftime_now('%Y') }}" + folders.TOLD
A_DATE = r"fails \('strftime_now' is undefined\), allowed: .* an argument such as \{\"strftime_now\": \"2025-01-31\"\}$"
NO_END = (
    r"got no end of text, allowed: eos_token in tokenizer_config.json or special_tokens_map.json, or eos_token_id in"
)
FAULTS = {
    "no template": ({"template": None}, r"tokenizer_config.json: got no chat template, allowed: a field chat_tem"),
    "broken template": ({"template": "{% if %}"}, r"got a broken chat template \(Expected an expression"),
    "refused": ({"template": "{{ raise_exception('no') }}"}, r"got a chat template that fails \(no\), allowed: one"),
    "outside": ({"template": "{{ ''.__class__.__mro__ }}"}, r"got a chat template that fails \(access to attribute"),
    "a clock": ({"template": CLOCK}, A_DATE),
    "another role": ({"template": HUMAN}, r"tokenizer_config.json: got a prompt without the text of the user's turn"),
    "content in parts": ({"template": PARTS}, r"got a prompt without the text of the user's turn, allowed: a template"),
    "cut content": ({"template": "{{ messages[0].content[:4] }}"}, r"got a prompt without the text of the user's"),
    "no system's turn": ({"template": "{{ messages[-1].content }}", "system": "Be brief."}, r"allowed: .* 'system'$"),
    "templates without names": ({"template": [{"template": "x"}]}, r"got chat templates without names \('name'\)"),
    "a wrong date": ({"arguments": {"strftime_now": "today"}}, r"argument strftime_now: got 'today' \(Invalid iso"),
    "our argument": ({"arguments": {"messages": []}}, r"arguments: got messages, allowed: other names than messages"),
    "no end": ({"settings": {}}, NO_END),
    "unknown end": ({"settings": {"eos_token": "</s>"}}, NO_END),
    "end as text": ({"config": {"eos_token_id": "2"}}, r"config.json: got eos_token_id \"2\", allowed: a token's num"),
    "true end": ({"config": {"eos_token_id": True}}, r"config.json: got eos_token_id true"),
    "end as a list": ({"settings": {"eos_token": ["<|im_end|>"]}}, r"got eos_token = \[\"<|im_end|>\"\], allowed: a t"),
    "added tokens": ({"added_tokens": {"<a>": "x"}}, r"got added tokens that cannot be read \(invalid literal"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_folder_is_one_line(tmp_path, fault):
    changes, message = FAULTS[fault]
    with pytest.raises(mathematics.InputError, match=message) as caught:
        load(tmp_path, **changes).render("What is it?")
    assert "\n" not in str(caught.value) and str(caught.value).count("allowed: ") == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("", None, "absent: got no such folder, allowed: the folder of a model$"),
        ("tokenizer.json", None, "got no tokenizer.json, allowed: the folder of a model with its tokenizer"),
        ("tokenizer.json", b"{}", r"tokenizer.json: got no tokenizer \(.*\), allowed: a tokenizer.json of the"),
        ("tokenizer_config.json", b"{", r"tokenizer_config.json: got broken JSON \(.*\), allowed: a JSON object"),
        ("generation_config.json", b"[", r"generation_config.json: got broken JSON"),
        ("added_tokens.json", b"[]", r"added_tokens.json: got a list, allowed: a JSON object"),
        ("config.json", b"[" * 99_999, r"config.json: got broken JSON \(.*\), allowed: a JSON object"),
        ("chat_template.jinja", b"\xff", r"chat_template.jinja: got a file that cannot be read \(.*\), allowed: a Jin"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, name, content, message):
    folder = folders.write(tmp_path)
    if not name:
        folder += "/absent"
    elif content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(mathematics.InputError, match=message) as caught:
        mathematics.Tokenizer.load(folder)
    assert re.fullmatch(r"[^\n]+: got [^\n]+, allowed: [^\n]+", str(caught.value))
