"""The comments beside the fields of a config file, by field: what --help shows.

A config file says ``config.rl.steps = 300  # updates``. Functions that make a group (``config.rl = _rl()``, or
``common.optimizer(...)``) are followed, so the comments inside them belong to the group's fields.
"""

import ast
import io
import pathlib
import tokenize
from collections.abc import Iterator
from types import ModuleType


def of_module(module: ModuleType) -> dict[str, str]:
    """``{"rl.steps": "updates", ...}`` of a module with ``get_config``; the first comment of a field counts."""
    found: dict[str, str] = {}
    for key, comment in _of_function(module, "get_config", (), ()):
        found.setdefault(key, comment)
    return found


def _of_function(
    module: ModuleType, name: str, above: tuple[str, ...], callers: tuple[tuple[str, str], ...]
) -> Iterator[tuple[str, str]]:
    """Comments of the fields that a function sets in the config it returns, which stands at ``above``."""
    source = pathlib.Path(str(module.__file__)).read_text()
    function = _functions(source).get(name)
    if function is None or (module.__name__, name) in callers:
        return
    callers = (*callers, (module.__name__, name))
    beside = _comments(source)
    root = _returned(function)
    for line in ast.walk(function):
        if not isinstance(line, ast.Assign | ast.AnnAssign):
            continue
        target = line.targets[0] if isinstance(line, ast.Assign) else line.target
        path = _path(target, root)
        if path is None:
            continue
        if path and line.end_lineno in beside:
            yield ".".join((*above, *path)), beside[line.end_lineno]
        if isinstance(line.value, ast.Call):
            yield from _of_call(module, line.value.func, (*above, *path), callers)


def _of_call(
    module: ModuleType, called: ast.expr, above: tuple[str, ...], callers: tuple[tuple[str, str], ...]
) -> Iterator[tuple[str, str]]:
    """Comments inside ``f()`` of the same module or ``other.f()`` of one that it imports."""
    if isinstance(called, ast.Name):
        yield from _of_function(module, called.id, above, callers)
    elif isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
        other = getattr(module, called.value.id, None)
        if isinstance(other, ModuleType):
            yield from _of_function(other, called.attr, above, callers)


def _functions(source: str) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


def _returned(function: ast.FunctionDef) -> str:
    """The variable a function returns."""
    names = [
        node.value.id
        for node in ast.walk(function)
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Name)
    ]
    return names[-1] if names else ""


def _path(target: ast.expr, root: str) -> tuple[str, ...] | None:
    """("rl", "steps") of ``root.rl.steps``; () of the root itself; None of anything else."""
    if isinstance(target, ast.Name):
        return () if target.id == root else None
    if isinstance(target, ast.Attribute):
        above = _path(target.value, root)
        return None if above is None else (*above, target.attr)
    return None


def _comments(source: str) -> dict[int, str]:
    """Text of the comments by line."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ").strip() for token in tokens if token.type == tokenize.COMMENT}
