"""The shape of the house, read from every import, those inside functions and under TYPE_CHECKING too.

Imports run downward only: the core knows nothing of the rest, lm nothing of tasks, vision and runs, none of them
anything of the experiments. And one notation of shapes: annotations have them, names do not.
"""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LARGEST_FOLDER = 15
# As in `x_PxD`, `logits_xV`, `places_Px1`, `tokens_pxn`; what ends in one small letter is something else: `pixel_x`.
SHAPE_IN_NAME = re.compile(r"_*[a-z]\w*?_(x?[A-Z]|x1$|[a-z](x[A-Za-z0-9])+$)")
CORE = {"jax", "numpy", "scipy", "jaxtyping"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_name(path): path for top in ("maxrl_jax", "experiments", "configs") for path in (ROOT / top).rglob("*.py")
}


def imported(source: str, known: set[str]) -> set[str]:
    """Every module a source imports, wherever the import stands; of a package, the module taken from it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import of {node.module}"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else str(node.module) for name in inside}
    return found


IMPORTS = {name: imported(path.read_text(encoding="utf-8"), set(FILES)) for name, path in FILES.items()}


def room(module: str) -> str:
    """The room a module lies in: core, lm, tasks, vision, one of the rooms of runs, configs, or a study."""
    parts = module.split(".")
    if parts[0] == "experiments":
        return ".".join(parts[:2])
    if parts[0] == "configs":
        return "configs"
    if parts[1:2] and parts[1] in ("lm", "tasks", "vision"):
        return ".".join(parts[:2])
    if parts[1:2] == ["runs"]:
        folder = len(parts) > 3 or FILES[module].name == "__init__.py"
        return ".".join(parts[: 3 if folder else 2])
    return "maxrl_jax"


def cycles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """The sets of nodes that reach each other."""

    def reachable(start: str) -> set[str]:
        seen, waiting = set(), list(graph[start])
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                waiting += graph[node]
        return seen

    reach = {node: reachable(node) for node in graph}
    return {frozenset({node, *(m for m in reach[node] if node in reach[m])}) for node in graph if node in reach[node]}


def between(modules: dict[str, set[str]], name_of) -> dict[str, set[str]]:
    """The graph of the modules' groups, an edge for each import from one to another."""
    graph: dict[str, set[str]] = {name_of(module): set() for module in modules}
    for module, targets in modules.items():
        ends = {name_of(target) for target in targets if target in modules}
        graph[name_of(module)] |= ends - {name_of(module)}
    return graph


def test_no_cycles_between_rooms():
    assert cycles(between(IMPORTS, room)) == set()


def test_no_cycles_between_files():
    assert cycles(between(IMPORTS, str)) == set()


UPWARD = [  # from, to
    ("maxrl_jax", ("experiments", "configs", "benchmarks", "examples", "tests")),
    ("maxrl_jax.lm", ("maxrl_jax.tasks", "maxrl_jax.vision", "maxrl_jax.runs")),
    ("maxrl_jax.tasks", ("maxrl_jax.vision",)),
    ("maxrl_jax.vision", ("maxrl_jax.tasks", "maxrl_jax.lm")),
    ("maxrl_jax.runs", ("maxrl_jax.tasks", "maxrl_jax.vision", "maxrl_jax.lm")),
    ("maxrl_jax.runs.config", ("maxrl_jax.runs.folder", "maxrl_jax.runs.loop", "maxrl_jax.runs.devices")),
    ("maxrl_jax.runs.devices", ("maxrl_jax.runs.folder", "maxrl_jax.runs.loop")),
    ("maxrl_jax.runs.folder", ("maxrl_jax.runs.loop",)),
    ("configs", ("experiments",)),
]


def below(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize(("start", "above"), UPWARD, ids=[start for start, _ in UPWARD])
def test_imports_run_downward(start, above):
    upward = {
        (module, target)
        for module, targets in IMPORTS.items()
        for target in targets
        if below(module, start) and any(below(target, package) for package in above)
    }
    assert upward == set()


def test_the_core_needs_four_packages():
    core = [module for module in FILES if room(module) == "maxrl_jax"]
    assert {"maxrl_jax", "maxrl_jax.objectives", "maxrl_jax.losses", "maxrl_jax.advantages.table"} <= set(core)
    foreign = {
        (module, target)
        for module in core
        for target in IMPORTS[module]
        if (top := target.split(".")[0]) not in CORE | sys.stdlib_module_names | {"__future__", "maxrl_jax"}
        or (top == "maxrl_jax" and room(target) != "maxrl_jax")
    }
    assert foreign == set()


def test_no_folder_is_too_full_to_look_through():
    sizes = {folder: len(list(folder.glob("*.py"))) for folder in {path.parent for path in FILES.values()}}
    full = {str(folder.relative_to(ROOT)): size for folder, size in sizes.items() if size > LARGEST_FOLDER}
    assert full == {}


def renamed(source: str) -> list[str]:
    """Imports that give one of our modules' names a second one, or re-export it (``x as x``)."""
    return [
        f"{alias.name} as {alias.asname}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom | ast.Import)
        for alias in node.names
        if alias.asname == alias.name
        or (alias.asname and isinstance(node, ast.ImportFrom) and below(str(node.module), "maxrl_jax.runs"))
    ]


def test_a_module_has_one_name():
    tests = {str(path): path for path in (ROOT / "tests").rglob("*.py")}
    found = {name: renamed(path.read_text(encoding="utf-8")) for name, path in {**FILES, **tests}.items()}
    assert {name: names for name, names in found.items() if names} == {}


def names(source: str) -> set[str]:
    """Every name that a source gives or uses: of variables, arguments, keywords, attributes, functions and classes."""
    fields = ("id", "arg", "attr", "name", "asname")
    return {name for node in ast.walk(ast.parse(source)) for field in fields if (name := getattr(node, field, None))}


def test_shapes_stand_in_annotations_and_not_in_names():
    found = {
        name: sorted(filter(SHAPE_IN_NAME.match, names(path.read_text(encoding="utf-8"))))
        for name, path in FILES.items()
    }
    assert {name: shaped for name, shaped in found.items() if shaped} == {}


def test_the_reader_sees_every_shape_in_a_name():
    source = "def f(x_xD, *, y=0):\n    a.rows_P, (b_PxNxT, _c_TPN) = g(lengths_pxn=1), [d_x1 for d_x1 in e_Px1]\n"
    shaped = {"x_xD", "rows_P", "b_PxNxT", "_c_TPN", "lengths_pxn", "d_x1", "e_Px1"}
    assert set(filter(SHAPE_IN_NAME.match, names(source))) == shaped
    assert names(source) - shaped == {"f", "g", "a", "y"}
    assert not any(
        map(SHAPE_IN_NAME.match, ("pixel_x", "in_axes", "out_axis", "_INT64_LIST", "_Rows", "K_S", "is_x64"))
    )


def test_the_reader_sees_every_import():
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a.b\ndef f():\n    from a import c, d\n"
    assert imported(source, {"a.c"}) == {"typing", "a.b", "a.c", "a"}
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == {frozenset("abc")}
    assert renamed("from a import b as b\nfrom maxrl_jax.runs.config import checks as c\nimport numpy as np\n") == [
        "b as b",
        "checks as c",
    ]
