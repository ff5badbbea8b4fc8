"""TeX to MathML when the site is built: browsers render MathML without fetching a script or font."""

from __future__ import annotations

import html
import re

from latex2mathml import converter

_MARKDOWN = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', flags=re.DOTALL)
_NOTEBOOK = re.compile(
    r"(?P<kept><(?P<tag>pre|code|script|style|svg)\b.*?</(?P=tag)>)|\$\$(?P<block>[^$]+)\$\$|\$(?P<inline>[^$\n][^$]*)\$",
    flags=re.DOTALL,
)


# Browsers no longer support the attribute for double-struck letters, only the letters themselves.
_DOUBLE_STRUCK = {letter: chr(0x1D538 + index) for index, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ")}
_DOUBLE_STRUCK |= {"C": "ℂ", "H": "ℍ", "N": "ℕ", "P": "ℙ", "Q": "ℚ", "R": "ℝ", "Z": "ℤ"}

# log p, but log(p): a thin space before an argument without brackets.
_FUNCTION = re.compile(r"(<mi>(?:log|arcsin)</mi>)(?=<m(?!o))")


def convert(tex: str, *, block: bool = False) -> str:
    """MathML of a formula."""
    text = converter.convert(tex.strip(), display="block" if block else "inline")
    text = text.replace(r"\_", "_")  # within \texttt the converter keeps the backslash
    text = re.sub(r'<mi mathvariant="double-struck">(\w)</mi>', lambda m: f"<mi>{_DOUBLE_STRUCK[m[1]]}</mi>", text)
    return _FUNCTION.sub(r'\1<mspace width="0.17em"/>', text)


def fence(source: str, language: str, class_name: str, options: object, md: object, **keywords: object) -> str:
    """A fenced block of mathematics, for pymdownx.superfences."""
    return f'<div class="formula">{convert(source, block=True)}</div>'


def in_page(text: str) -> str:
    """Converts the inline formulas of a Markdown page, which pymdownx.arithmatex has marked."""
    return _MARKDOWN.sub(lambda m: convert(html.unescape(m[2]), block=m[1] == "div"), text)


def in_notebook(text: str) -> str:
    """Converts the formulas between dollars in a notebook's HTML."""

    def replace(match: re.Match[str]) -> str:
        if match["kept"]:
            return match["kept"]
        return convert(html.unescape(match["block"] or match["inline"]), block=bool(match["block"]))

    return _NOTEBOOK.sub(replace, text)
