"""A model's chat template: from a user's turn to the text the model continues.

Templates are programs that come with weights, so they run in Jinja's sandbox. They see no clock: a prompt is a
function of its text. (Llama 3.2's template writes today's date where it can, and a fixed one where it cannot.)
"""

import json
import pathlib
from collections.abc import Callable
from typing import Any

from maxrl_jax.tasks.mathematics.errors import InputError


def load(folder: pathlib.Path, settings: dict[str, Any]) -> Callable[[str], str]:
    """The template of a model's folder: chat_template.jinja, else that of tokenizer_config.json.

    Args:
        folder: of the model.
        settings: tokenizer_config.json.

    Returns:
        render(text): the conversation of one user's turn, up to where the assistant's begins.

    Raises:
        InputError: no template, or one that cannot be read; ``render`` where it refuses a text.
    """
    source, place = _source(folder, settings)
    try:
        template = _environment().from_string(source)
    except Exception as error:
        raise InputError(place, f"a broken chat template ({error})", "a Jinja template") from None
    special = {name: _token(value) for name, value in settings.items() if name.endswith("_token")}

    def render(text: str) -> str:
        messages = [{"role": "user", "content": text}]
        try:
            return template.render(messages=messages, add_generation_prompt=True, tools=None, documents=None, **special)
        except Exception as error:  # anything a foreign program raises
            raise InputError(place, f"a chat template that fails ({error})", "one that takes one user's turn") from None

    return render


def _source(folder: pathlib.Path, settings: dict[str, Any]) -> tuple[str, str]:
    """The template's text, and where it was found."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8"), str(file)
    place = str(folder / "tokenizer_config.json")
    found = settings.get("chat_template")
    if isinstance(found, list):  # several templates by name
        found = {entry["name"]: entry["template"] for entry in found}.get("default")
    if not isinstance(found, str):
        raise InputError(place, "no chat template", "a field chat_template, or a file chat_template.jinja beside it")
    return found, place


def _environment() -> Any:
    """Jinja as the templates of the Hugging Face Hub expect it."""
    try:
        from jinja2.exceptions import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise ImportError("jinja2 is not installed: pip install 'maxrl-jax[llm]'") from None

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def to_json(value: Any, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = raise_exception
    environment.filters["tojson"] = to_json
    return environment


def _token(value: Any) -> Any:
    """A special token's text; it is written down as text or as an object."""
    return value["content"] if isinstance(value, dict) else value
