"""A folder's tokenizer and chat template write prompts and read answers."""

import pytest

pytest.importorskip("tokenizers")
pytest.importorskip("jinja2")

from maxrl_jax.tasks import mathematics
from tests.tasks.mathematics import folders

END_OF_TEXT, START, END = 0, 1, 2


def load(folder, **changes):
    return mathematics.Tokenizer.load(folders.write(folder, **changes))


def test_a_prompt_is_a_users_turn_in_the_chat_template(tmp_path):
    tokenizer = load(tmp_path)
    text = tokenizer.render("2 + 3 = ?")
    assert text == (
        "<|im_start|>system\nYou are a helpful AI assistant<|im_end|>\n"
        "<|im_start|>user\n2 + 3 = ?<|im_end|>\n<|im_start|>assistant\n"
    )
    prompt = tokenizer.encode_prompt("2 + 3 = ?")
    assert [token for token in prompt if token < 3] == [START, END, START, END, START]
    assert tokenizer.tokens.decode(prompt, skip_special_tokens=False) == text


def test_an_answer_is_read_up_to_its_first_end_without_special_tokens(tmp_path):
    tokenizer = load(tmp_path)
    five, six = tokenizer.tokens.encode("it is 5 — é").ids, tokenizer.tokens.encode("6").ids
    answer = [*five, START, *six, END, *five, END]
    assert tokenizer.decode_answer(answer) == "it is 5 — é6"
    assert tokenizer.end(answer) == len(five) + 2
    assert tokenizer.decode_answer(five) == "it is 5 — é"
    assert tokenizer.end(five) == len(five)
    assert tokenizer.decode_answer([END, *five]) == ""


@pytest.mark.parametrize(
    ("settings", "generation", "eos", "pad"),
    [
        ({"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}, None, (END,), END_OF_TEXT),
        ({"eos_token": "<|im_end|>"}, None, (END,), END),
        ({"eos_token": {"content": "<|im_end|>"}, "pad_token": None}, {"eos_token_id": 0}, (END, END_OF_TEXT), END),
        ({"eos_token": "<|im_end|>"}, {"eos_token_id": [2, 0]}, (END, END_OF_TEXT), END),
        ({}, {"eos_token_id": [0, 2]}, (END_OF_TEXT, END), END_OF_TEXT),
        ({"eos_token": "<|im_end|>"}, {}, (END,), END),
    ],
)
def test_ends_of_text_come_from_the_tokenizer_and_from_generation(tmp_path, settings, generation, eos, pad):
    tokenizer = load(tmp_path, settings=settings, generation=generation)
    assert (tokenizer.eos, tokenizer.pad) == (eos, pad)


def test_templates_are_found_where_models_have_them(tmp_path):
    named = [{"name": "tools", "template": "no"}, {"name": "default", "template": "named {{ messages[0].content }}"}]
    settings = {"eos_token": "<|im_end|>", "bos_token": {"content": "<|endoftext|>"}}
    assert load(tmp_path, template=named).render("x") == "named x"
    (tmp_path / "chat_template.jinja").write_text("{{ bos_token }}file {{ messages[0]['content'] | tojson }}")
    assert load(tmp_path, settings=settings).render('é"') == '<|endoftext|>file "é\\""'


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


FAULTS = {
    "no folder": ({}, "absent", r"absent: got no such folder, allowed: the folder of a model$"),
    "no template": ({"template": None}, "", r"tokenizer_config.json: got no chat template, allowed: a field chat_tem"),
    "broken template": ({"template": "{% if %}"}, "", r"got a broken chat template \(Expected an expression"),
    "refused": (
        {"template": "{{ raise_exception('no') }}"},
        "",
        r"got a chat template that fails \(no\), allowed: one",
    ),
    "outside": (
        {"template": "{{ ''.__class__.__mro__ }}"},
        "",
        r"got a chat template that fails \(access to attribute",
    ),
    "no end": (
        {"settings": {}},
        "",
        r"got no end of text, allowed: eos_token in tokenizer_config.json or eos_token_id",
    ),
    "unknown end": ({"settings": {"eos_token": "</s>"}}, "", r"got no end of text"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_folder_is_one_line(tmp_path, fault):
    changes, inside, message = FAULTS[fault]
    folder = folders.write(tmp_path, **changes)
    with pytest.raises(mathematics.InputError, match=message) as caught:
        mathematics.Tokenizer.load(folder + "/" + inside).render("x")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", None, "got no tokenizer.json, allowed: the folder of a model with its tokenizer"),
        (
            "tokenizer.json",
            "{}",
            r"tokenizer.json: got no tokenizer \(.*\), allowed: a tokenizer.json of the tokenizers",
        ),
        ("tokenizer_config.json", None, "got no tokenizer_config.json, allowed"),
        ("tokenizer_config.json", "{", r"tokenizer_config.json: got broken JSON \(.*\), allowed: a JSON object"),
        ("generation_config.json", "[", r"generation_config.json: got broken JSON"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, name, content, message):
    folder = folders.write(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(mathematics.InputError, match=message) as caught:
        mathematics.Tokenizer.load(folder)
    assert "\n" not in str(caught.value)
