"""The API pages: one for each package, with all its public modules, from the source tree."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import griffe

from docs.site.sources import ROOT

PACKAGE = "maxrl_jax"

_CODE_OR_MARK = re.compile(r"(?P<code>(?P<ticks>`+).*?(?P=ticks))|[\\*_\[\]<$]")


def packages() -> dict[str, list[str]]:
    """Public packages and the public modules directly in each, by their dotted names."""
    found = {}
    for init in sorted((ROOT / PACKAGE).rglob("__init__.py")):
        folder = init.parent.relative_to(ROOT)
        if any(part.startswith("_") for part in folder.parts):
            continue
        modules = [path.stem for path in sorted(init.parent.glob("[!_]*.py"))]
        found[_dotted(folder)] = [_dotted(folder / name) for name in modules]
    return found


def _dotted(path: Path) -> str:
    return ".".join(path.parts)


def page_of(package: str) -> str:
    """The path on the site of a package's page."""
    return f"api/{package.removeprefix(PACKAGE + '.')}.md"


def render(package: str, modules: list[str]) -> str:
    """Markdown for mkdocstrings; a package itself shows its docstring alone, since its names are in the modules."""
    parts = [f"# {package}", f"::: {package}\n    options:\n      members: false\n      show_root_heading: false"]
    parts += [f"## {module.removeprefix(package + '.')}\n\n::: {module}" for module in modules]
    return "\n\n".join(parts) + "\n"


class PlainDocstrings(griffe.Extension):
    """Docstrings are plain text with backticks: stars, underscores and brackets in them are not Markdown.

    An indented block between empty lines is a formula or a listing and keeps its lines.
    """

    def on_instance(self, *, obj: griffe.Object, **keywords: object) -> None:
        """Escapes an object's docstring, once it is loaded."""
        if obj.docstring:
            obj.docstring.value = plain(obj.docstring.value)


def plain(text: str) -> str:
    """A docstring as Markdown that renders as plain text."""
    return "\n\n".join(_block(block) for block in text.split("\n\n"))


def _block(block: str) -> str:
    lines = block.strip("\n").split("\n")
    if all(line.startswith("  ") or not line for line in lines) and block.strip():
        return textwrap.indent(textwrap.dedent("\n".join(lines)), "    ")
    return "\n".join(_escape(line) for line in lines)


def _escape(line: str) -> str:
    if line.lstrip().startswith(">>>"):
        return line
    return _CODE_OR_MARK.sub(lambda m: m[0] if m["code"] else "&lt;" if m[0] == "<" else "\\" + m[0], line)
