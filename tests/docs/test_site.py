"""The site: links within it, formulas without a script, docstrings as plain text, and nothing is fetched."""

import html
import importlib.util
import os
import re
import subprocess
import sys

import pytest

pytest.importorskip("griffe")
pytest.importorskip("latex2mathml")

import markdown

from docs.site import api, formulas, sources

THEORY = (sources.ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
TEXT = re.sub(r"```.*?```|`[^`]*`", "", THEORY, flags=re.DOTALL)
FORMULAS = [*re.findall(r"```math\n(.*?)```", THEORY, flags=re.DOTALL), *re.findall(r"\$([^$]+)\$", TEXT)]


def letters(mathml):
    return html.unescape(re.sub(r"<[^>]+>", "", mathml))


def test_every_formula_of_the_theory_becomes_mathml():
    assert len(FORMULAS) > 300
    for tex in FORMULAS:
        mathml = formulas.convert(tex)
        assert mathml.startswith("<math") and "\\" not in letters(mathml), tex
        assert "double-struck" not in mathml
    assert letters(formulas.convert(r"\mathbb E[S]")) == "𝔼[S]"
    assert 'display="block"' in formulas.convert("x", block=True)
    assert "<mspace" in formulas.convert(r"\log p") and "<mspace" not in formulas.convert(r"\log(p)")


def test_dollars_in_code_are_no_formulas():
    page = "<p>cost $p$ and $$q$$</p><pre>$a$</pre><code>$b$</code>"
    got = formulas.in_notebook(page)
    assert got.count("<math") == 2 and "<pre>$a$</pre><code>$b$</code>" in got
    marked = r'<span class="arithmatex">\(p &lt; 1\)</span>'
    assert letters(formulas.in_page(marked)) == "p<1" and "arithmatex" not in formulas.in_page(marked)


@pytest.mark.parametrize(
    ("target", "page", "wanted"),
    [
        ("docs/theory.md", "index.md", "theory.md"),
        ("results/README.md#maze_17", "index.md", "results/index.md#maze_17"),
        ("../README.md", "theory.md", "index.md"),
        ("LICENSE", "index.md", f"{sources.REPOSITORY}/blob/main/LICENSE"),
        ("../maxrl_jax", "scaling.md", f"{sources.REPOSITORY}/tree/main/maxrl_jax"),
        ("nowhere.md", "index.md", "nowhere.md"),
    ],
)
def test_links_lead_to_the_site_or_to_the_source(target, page, wanted):
    assert sources.link_markdown(f"a [b]({target}) c", page) == f"a [b]({wanted}) c"


def test_links_of_notebooks_lead_to_pages():
    page = next(p for p in sources.outside() if p.endswith(".ipynb"))
    got = sources.link_html('<a href="../docs/theory.md#4-gap-form">t</a> <a href="#here">h</a>', page)
    assert got == '<a href="../theory.html#4-gap-form">t</a> <a href="#here">h</a>'


def test_the_api_has_every_public_module_once():
    listed = [module for modules in api.packages().values() for module in modules] + list(api.packages())
    files = [p.relative_to(sources.ROOT).with_suffix("") for p in (sources.ROOT / api.PACKAGE).rglob("*.py")]
    dotted = [
        ".".join(f.parts).removesuffix(".__init__") for f in files if not f.name.startswith("_") or "__" in f.name
    ]
    assert sorted(listed) == sorted(set(dotted) - {d for d in dotted if d.endswith("__main__")})


def test_docstrings_render_as_plain_text():
    text = "A_i = *r* [*batch, N] for `a_b`, p < 1, ``c[*d]`` and $x$.\n\n  w_1 = sum_m  B(m)\n  q = 1\n\nEnd_1_."
    shown = markdown.markdown(api.plain(text))
    read = re.sub(r"<[^>]+>", "", shown).replace("&lt;", "<")
    assert read == "A_i = *r* [*batch, N] for a_b, p < 1, c[*d] and \\$x\\$.\nw_1 = sum_m  B(m)\nq = 1\n\nEnd_1_."
    assert "<em>" not in shown and "<pre><code>w_1 = sum_m  B(m)\nq = 1" in shown


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs the extra docs")
def test_the_site_builds_strictly_and_fetches_nothing(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", f"--site-dir={tmp_path}"]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=sources.ROOT, env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*.html")}
    assert {"index.html", "explorer.html", "theory.html", "estimators.html", "results/index.html"} <= set(pages)
    assert {api.page_of(package).replace(".md", ".html") for package in api.packages()} <= set(pages)
    for name, path in pages.items():
        text = path.read_text(encoding="utf-8")
        fetched = re.findall(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^\s>]+", text)
        fetched += re.findall(r"<link\b[^>]*rel=[\"']?(?:stylesheet|preconnect)[^>]*(?:https?:)?//[^\s>]+", text)
        assert not fetched, (name, fetched)
    theory = pages["theory.html"].read_text(encoding="utf-8")
    assert theory.count("<math") > 500 and "arithmatex" not in theory
