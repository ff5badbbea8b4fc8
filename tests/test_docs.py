"""The pages under docs/ and the built notebooks are in step with the code they speak of."""

import ast
import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

from experiments.figures import catalogue
from maxrl_jax import advantages, documentation

ROOT = Path(__file__).parents[1]
THEORY = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "results" / "README.md"])
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.py"))


def without_displays(text):
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def functions(path):
    return {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}


def test_the_page_of_estimators_is_current():
    page = (ROOT / "docs" / "estimators.md").read_text(encoding="utf-8")
    assert page == documentation.render(), f"run: {documentation.COMMAND}"


def test_the_page_of_figures_is_current_and_its_runs_are_in_the_repository():
    page = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    assert page == catalogue.render(), "run: python -m experiments.figures.catalogue"
    items = re.findall(r"^\| ((?:Figure|Table)s? [^|]+) \|", page, flags=re.MULTILINE)
    numbers = [n for item in items for n in re.findall(r"\d+", item)]
    assert len(numbers) == 7 + 18 + 8 + 3 + 10  # tables and figures of MaxRL, figures of PKPO, both of MaxPO
    runs = catalogue.runs("maxrl_fig3", [ROOT / "results"])
    assert len(runs) == 2 and catalogue.runs("maxrl_fig3", runs[:1]) == runs[:1]  # not those of another folder


def test_the_page_of_estimators_describes_every_hyper_parameter():
    for entry in advantages.TABLE.values():
        section = documentation.section(entry)
        for key in (*entry.defaults, *entry.needs):
            assert re.search(rf"^- {key}: \S", section, flags=re.MULTILINE), f"{entry.name}: {key} is not described"


def test_every_test_named_in_the_theory_exists():
    cited = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", THEORY)
    assert len(cited) > 40
    missing = [f"{path}::{name}" for path, name in cited if name not in functions(ROOT / path)]
    assert not missing


def test_every_section_of_the_theory_names_a_test():
    sections = re.split(r"^## ", THEORY, flags=re.MULTILINE)[1:]
    numbered = [s for s in sections if s[0].isdigit()]
    assert [s[0] for s in numbered] == list("12345678")
    for section in numbered:
        assert "*Checked by*" in section, section.splitlines()[0]


def test_sections_that_the_code_refers_to_exist():
    headings = re.findall(r"^## (\d)\. (.*)$", THEORY, flags=re.MULTILINE)
    numbers = {number for number, _ in headings}
    referred = set()
    for path in (ROOT / "maxrl_jax").rglob("*.py"):
        referred |= set(re.findall(r"theory\.md,? section (\d)", path.read_text(encoding="utf-8")))
    assert referred and referred <= numbers


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_runs_that_the_pages_draw_from_are_in_the_repository():
    folders = {f for page in PAGES for f in re.findall(r"--runs=(results/[\w/-]+)", page.read_text(encoding="utf-8"))}
    assert folders
    assert [f for f in folders if not any((ROOT / f).glob("**/metrics.jsonl"))] == []


def test_inline_maths_survives_markdown():
    """Renderers unescape backslash-punctuation, and read }_ as emphasis, before they see the maths."""
    inline = re.findall(r"\$([^$]+)\$", re.sub(r"`[^`]*`", "", without_displays(THEORY)))
    assert len(inline) > 300
    assert [m for m in inline if re.search(r"\\[,;!{}|]|[})\]]_|\*|\n", m)] == []
    tables = [line for line in THEORY.splitlines() if line.startswith("|")]
    assert [line for line in tables for m in re.findall(r"\$([^$]+)\$", line) if "|" in m] == []


def build_script():
    spec = importlib.util.spec_from_file_location("build", ROOT / "notebooks" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("script", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_built_from_their_scripts(script):
    built = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    expected = build_script().convert(script)
    assert [(c.cell_type, c.source) for c in built.cells] == [(c.cell_type, c.source) for c in expected.cells]
    code = [cell for cell in built.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))  # run once, from the top
    outputs = [output for cell in code for output in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert sum("image/png" in o.get("data", {}) for o in outputs) >= 1
    assert not re.search(r"/(work|root|home|Users|tmp)/", str([o.get("data", o.get("text")) for o in outputs]))
