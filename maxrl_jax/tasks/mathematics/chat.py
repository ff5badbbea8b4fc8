"""A model's chat template: from a user's turn to the text the model continues.

Templates are programs that come with weights, so they run in Jinja's sandbox. They see no clock: a prompt is a
function of its text and of the arguments given. (Llama 3.2's template writes today's date where it can, and a fixed
one where it cannot.)
"""

import datetime
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from maxrl_jax.errors import InputError, foreign

DATE = "strftime_now"
"""The argument that is a date, for templates that call a function of this name."""
_OURS = ("messages", "add_generation_prompt", "tools", "documents")


def load(
    folder: pathlib.Path,
    special: Mapping[str, Any],
    settings: Mapping[str, Any],
    arguments: Mapping[str, Any],
    system: str,
) -> Callable[[str], str]:
    """The template of a model's folder: chat_template.jinja, else that of tokenizer_config.json.

    Args:
        folder: of the model.
        special: special tokens by name, such as bos_token; those that are null are absent.
        settings: tokenizer_config.json.
        arguments: further variables of the template, such as enable_thinking; strftime_now is a date in ISO format.
        system: text of a system's turn before the user's; "" for none.

    Returns:
        render(text): the conversation of one user's turn, up to where the assistant's begins.

    Raises:
        InputError: no template, or one that cannot be read; ``render`` where it refuses a text or leaves it out.
    """
    source, place = _source(folder, settings)
    for name in arguments:
        if name in _OURS:
            raise InputError("the chat template's arguments", name, "other names than " + ", ".join(_OURS))
    environment = _environment(arguments.get(DATE))
    with foreign(place, "a broken chat template", "a Jinja template"):
        template = environment.from_string(source)
    variables = {**special, **{name: value for name, value in arguments.items() if name != DATE}}
    before = [{"role": "system", "content": system}] if system else []

    def render(text: str) -> str:
        messages = [*before, {"role": "user", "content": text}]
        allowed = "one that takes one user's turn"
        if DATE in source and DATE not in arguments:
            allowed += f', or with an argument such as {{"{DATE}": "2025-01-31"}}'
        with foreign(place, "a chat template that fails", allowed):
            prompt = template.render(
                messages=messages, add_generation_prompt=True, tools=None, documents=None, **variables
            )
        for message in messages:
            if message["content"].strip() not in prompt:
                got = f"a prompt without the text of the {message['role']}'s turn"
                raise InputError(place, got, f"a template that writes the content of the role {message['role']!r}")
        return prompt

    return render


def _source(folder: pathlib.Path, settings: Mapping[str, Any]) -> tuple[str, str]:
    """The template's text, and the file that holds it."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        with foreign(str(file), "a file that cannot be read", "a Jinja template in UTF-8"):
            return file.read_text(encoding="utf-8"), str(file)
    place = str(folder / "tokenizer_config.json")
    template = settings.get("chat_template")
    if isinstance(template, list):  # several templates by name
        with foreign(place, "chat templates without names", "a list of objects with name and template"):
            template = {entry["name"]: entry["template"] for entry in template}.get("default")
    if not isinstance(template, str):
        raise InputError(place, "no chat template", "a field chat_template, or a file chat_template.jinja beside it")
    return template, place


def _environment(date: str | None) -> Any:
    """Jinja as transformers sets it up, but for the clock."""
    try:
        from jinja2 import nodes
        from jinja2.exceptions import TemplateError
        from jinja2.ext import Extension
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise ImportError("jinja2 is not installed: pip install 'maxrl-jax[llm]'") from None

    class Generation(Extension):
        """``{% generation %}...{% endgeneration %}`` marks the assistant's tokens; the text stays as it is."""

        tags: set[str] = {"generation"}  # noqa: RUF012  # as Jinja declares it

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

        def _same(self, caller: Callable[[], str]) -> str:
            return caller()

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def to_json(
        value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = raise_exception
    environment.filters["tojson"] = to_json
    if date is not None:
        with foreign(f"the chat template's argument {DATE}", repr(date), "a date such as 2025-01-31"):
            environment.globals[DATE] = datetime.datetime.fromisoformat(date).strftime
    return environment
