"""The comments beside the fields of a config file, by field: what --help shows.

A config file says ``config.rl.steps = 300  # updates``. Functions that make a group (``config.rl = _rl()``, or
``common.optimizer(...)``) are followed, so the comments inside them belong to the group's fields.
"""

import ast
import io
import pathlib
import tokenize
from types import ModuleType


def of_module(module: ModuleType) -> dict[str, str]:
    """``{"rl.steps": "updates", ...}`` of a module with ``get_config``; the first comment of a field counts."""
    return _of_function(module, "get_config", ())


def _of_function(module: ModuleType, name: str, callers: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Comments of the fields that a function sets in the config it returns."""
    source = pathlib.Path(str(module.__file__)).read_text()
    functions = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    if name not in functions or (module.__name__, name) in callers:
        return {}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    beside = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    lines = list(ast.walk(functions[name]))
    root = [ast.unparse(line.value) for line in lines if isinstance(line, ast.Return) and line.value][-1:]
    found: dict[str, str] = {}
    for line in lines:
        if not isinstance(line, ast.Assign | ast.AnnAssign):
            continue
        first, *path = ast.unparse(line.targets[0] if isinstance(line, ast.Assign) else line.target).split(".")
        if [first] != root:
            continue
        if path and line.end_lineno in beside:
            found.setdefault(".".join(path), beside[line.end_lineno])
        if isinstance(line.value, ast.Call):
            *package, called = ast.unparse(line.value.func).split(".")
            other = getattr(module, package[0], None) if package else module
            if isinstance(other, ModuleType):
                for key, comment in _of_function(other, called, (*callers, (module.__name__, name))).items():
                    found.setdefault(".".join([*path, key]), comment)
    return found
