"""The source of each page of the site in the repository, and the targets of its links on the site."""

from __future__ import annotations

import posixpath
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]

REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Source"]

_FROM_THE_ROOT = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}

_MARKDOWN_LINK = re.compile(r"(?<=\]\()([^)\s#]+)?(#[^)\s]*)?(?=\))")
_HTML_LINK = re.compile(r'(?<=href=")([^"#]+)(#[^"]*)?(?=")')


def outside() -> dict[str, str]:
    """Files of the repository outside docs/ that are on the site: path in the repository -> path on the site."""
    found = {path: page for path, page in _FROM_THE_ROOT.items() if (ROOT / path).exists()}
    found["results/README.md"] = "results/index.md"
    for pattern in ("notebooks/*.ipynb", "results/**/*.html"):
        found |= {p: p for p in (f.relative_to(ROOT).as_posix() for f in sorted(ROOT.glob(pattern)))}
    return found


def _page_of(path: str) -> str | None:
    """The page that shows a file of the repository."""
    inside = path.startswith("docs/") and not path.endswith(".py") and (ROOT / path).is_file()
    return path.removeprefix("docs/") if inside else outside().get(path)


def _source_of(page: str) -> str:
    """The file of the repository that a page shows."""
    return {shown: path for path, shown in outside().items()}.get(page, f"docs/{page}")


def _leads_to(target: str, page: str) -> str:
    """A relative link of `page` on the site: to the page that shows its target, else to the source code."""
    if re.match(r"[a-z]+:|/", target):
        return target
    path = posixpath.normpath(posixpath.join(posixpath.dirname(_source_of(page)), target))
    if shown := _page_of(path):
        return posixpath.relpath(shown, posixpath.dirname(page) or ".")
    if not (ROOT / path).exists():
        return target  # mkdocs reports the missing page
    return f"{REPOSITORY}/{'tree' if (ROOT / path).is_dir() else 'blob'}/main/{path}"


def link_markdown(text: str, page: str) -> str:
    """Markdown of a page with its links turned into links within the site."""
    return _MARKDOWN_LINK.sub(lambda m: (_leads_to(m[1], page) if m[1] else "") + (m[2] or ""), text)


def link_html(text: str, page: str) -> str:
    """HTML of a notebook with its links turned into links within the site."""

    def lead(match: re.Match[str]) -> str:
        target = _leads_to(match[1], page)
        return re.sub(r"\.(md|ipynb)$", ".html", target) + (match[2] or "")

    return _HTML_LINK.sub(lead, text)
