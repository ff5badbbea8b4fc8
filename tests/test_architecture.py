"""The project's layers, read from every import, also those inside functions and under TYPE_CHECKING.

Imports run downward only: the core imports none of the rest, lm none of tasks, vision and runs, and nothing in the
package imports the experiments. Shapes are written in annotations and never in names.
"""

import ast
import graphlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LARGEST_FOLDER = 15
# As in `x_PxD`, `logits_xV`, `places_Px1`, `tokens_pxn`; one small letter at the end is something else: `pixel_x`.
SHAPE_IN_NAME = re.compile(r"_*[a-z]\w*?_(x?[A-Z]|x1$|[a-z](x[A-Za-z0-9])+$)")
CORE_NEEDS = {"jax", "numpy", "scipy", "jaxtyping"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_name(path): path for top in ("maxrl_jax", "experiments", "configs") for path in (ROOT / top).rglob("*.py")
}
SOURCES = {name: path.read_text(encoding="utf-8") for name, path in FILES.items()}


def imported(source: str, known: set[str]) -> set[str]:
    """Every module that a source imports, anywhere in it; of a package, the module taken from it."""
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import of {node.module}"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            modules |= {name if name in known else str(node.module) for name in inside}
    return modules


IMPORTS = {name: imported(source, set(FILES)) for name, source in SOURCES.items()}


def layer(module: str) -> str:
    """The layer of a module: core (maxrl_jax), lm, tasks, vision, one of those in runs, configs, or an experiment."""
    parts = module.split(".")
    if parts[0] == "configs":
        return "configs"
    if parts[0] == "experiments" or parts[1:2] in (["lm"], ["tasks"], ["vision"]):
        return ".".join(parts[:2])
    if parts[1:2] == ["runs"]:
        in_folder = len(parts) > 3 or FILES[module].name == "__init__.py"
        return ".".join(parts[: 3 if in_folder else 2])
    return "maxrl_jax"


@pytest.mark.parametrize("group", [layer, str], ids=["layers", "files"])
def test_no_cycles(group):
    graph: dict[str, set[str]] = {}
    for module, targets in IMPORTS.items():
        graph.setdefault(group(module), set()).update(group(target) for target in targets if target in FILES)
    # Where there is a cycle, there is no such order: CycleError, which shows it.
    order = graphlib.TopologicalSorter({name: below - {name} for name, below in graph.items()}).static_order()
    place = {name: number for number, name in enumerate(order)}
    assert all(place[below] < place[name] for name, under in graph.items() for below in under - {name})


UPWARD = [  # from, to
    ("maxrl_jax", ("experiments", "configs", "benchmarks", "examples", "tests")),
    ("maxrl_jax.lm", ("maxrl_jax.tasks", "maxrl_jax.vision", "maxrl_jax.runs")),
    ("maxrl_jax.tasks", ("maxrl_jax.vision",)),
    ("maxrl_jax.vision", ("maxrl_jax.tasks", "maxrl_jax.lm")),
    ("maxrl_jax.runs", ("maxrl_jax.tasks", "maxrl_jax.vision", "maxrl_jax.lm")),
    ("maxrl_jax.runs.config", ("maxrl_jax.runs.folder", "maxrl_jax.runs.loop")),
    ("maxrl_jax.runs.folder", ("maxrl_jax.runs.loop",)),
    ("configs", ("experiments",)),
]


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize(("start", "above"), UPWARD, ids=[start for start, _ in UPWARD])
def test_imports_run_downward(start, above):
    upward = {
        (module, target)
        for module, targets in IMPORTS.items()
        for target in targets
        if within(module, start) and any(within(target, package) for package in above)
    }
    assert upward == set()


def test_the_core_needs_four_packages():
    core = {module for module in FILES if layer(module) == "maxrl_jax"}
    assert {"maxrl_jax", "maxrl_jax.objectives", "maxrl_jax.losses", "maxrl_jax.advantages.table"} <= core
    foreign = {
        (module, target)
        for module in core
        for target in IMPORTS[module]
        if target.split(".")[0] not in CORE_NEEDS | sys.stdlib_module_names | {"maxrl_jax"}
        or (target in FILES and layer(target) != "maxrl_jax")
    }
    assert foreign == set()


def test_every_import_finds_its_module_and_name():
    """Also those inside functions, which fail only when they run."""
    own = {path.relative_to(ROOT).parts[0] for path in FILES.values()}
    tests = {module_name(path): path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")}
    missing = []
    for module, source in (SOURCES | tests).items():
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.ImportFrom) or str(node.module).split(".")[0] not in own:
                continue
            target = SOURCES.get(str(node.module), "")
            there = names(target) | set(re.findall(r'"(\w+)"', target))
            for alias in node.names:
                given = "globals()" in target or alias.name in there or f"{node.module}.{alias.name}" in FILES
                missing += [] if given and node.module in FILES else [f"{module}: {node.module}.{alias.name}"]
    assert missing == []


def test_no_folder_is_too_large_to_survey():
    sizes = {folder: len(list(folder.glob("*.py"))) for folder in {path.parent for path in FILES.values()}}
    large = {str(folder.relative_to(ROOT)): size for folder, size in sizes.items() if size > LARGEST_FOLDER}
    assert large == {}


def renamed(source: str) -> list[str]:
    """Imports that give a module in runs a second name, or re-export a name (``x as x``)."""
    return [
        f"{alias.name} as {alias.asname}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom | ast.Import)
        for alias in node.names
        if alias.asname == alias.name
        or (alias.asname and isinstance(node, ast.ImportFrom) and within(str(node.module), "maxrl_jax.runs"))
    ]


def test_a_module_has_one_name():
    tests = {str(path): path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")}
    second = {name: renamed(source) for name, source in {**SOURCES, **tests}.items()}
    assert {name: names for name, names in second.items() if names} == {}


def names(source: str) -> set[str]:
    """Every name in a source: variables, arguments, keywords, attributes, functions and classes."""
    fields = ("id", "arg", "attr", "name", "asname")
    return {name for node in ast.walk(ast.parse(source)) for field in fields if (name := getattr(node, field, None))}


def test_shapes_are_in_annotations_and_not_in_names():
    shaped = {name: sorted(filter(SHAPE_IN_NAME.match, names(source))) for name, source in SOURCES.items()}
    assert {name: found for name, found in shaped.items() if found} == {}
