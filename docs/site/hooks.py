"""Hooks of mkdocs: add generated pages and pages from outside docs/, and convert links and formulas."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.explorer import build as explorer
from docs.site import api, formulas, sources


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fills in the parts of the navigation that are lists: notebooks, API."""
    filled = {
        "Notebooks": [page for page in sources.outside().values() if page.endswith(".ipynb")],
        "API": [{package: api.page_of(package)} for package in api.packages()],
    }
    config.nav = [_fill(item, filled) for item in config.nav or []]
    return config


def _fill(item: Any, filled: dict[str, list[Any]]) -> Any:
    if not isinstance(item, dict):
        return item
    title, content = next(iter(item.items()))
    return {title: filled[title] if title in filled and not content else content}


@event_priority(100)  # before mkdocs-jupyter looks for notebooks
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the repository's own pages, the notebooks, the API and the explorer."""
    for path, page in sources.outside().items():
        if path == page:
            files.append(File(page, str(sources.ROOT), config.site_dir, config.use_directory_urls))
        else:
            files.append(File.generated(config, page, abs_src_path=str(sources.ROOT / path)))
    for package, modules in api.packages().items():
        files.append(File.generated(config, api.page_of(package), content=api.render(package, modules)))
    files.append(File.generated(config, "explorer.html", content=explorer.render()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns the links of a page written for the repository into links within the site."""
    if page.parent is None:
        page.meta["hide"] = ["navigation"]  # the tab above shows the place
    return markdown if page.file.src_uri.startswith("api/") else sources.link_markdown(markdown, page.file.src_uri)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Converts formulas to MathML and a notebook's links, and removes scripts that a notebook would fetch."""
    if Path(page.file.src_uri).suffix != ".ipynb":
        return formulas.in_page(html)
    html = re.sub(r'<script[^>]*src="https?://[^>]*></script>', "", html)
    html = re.sub(r"<!-- Load mathjax -->.*?<!-- End of mathjax configuration -->", "", html, flags=re.DOTALL)
    return formulas.in_notebook(sources.link_html(html, page.file.src_uri))
