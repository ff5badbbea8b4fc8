"""Which of the package's tasks, with which parameters: ``products(max_digits=1), gcd``."""

import ast
import dataclasses
import difflib
import functools
from typing import Any

_SET_BY_US = ("seed", "size")


@dataclasses.dataclass(frozen=True)
class Spec:
    """One task of the package with its parameters.

    Attributes:
        name: in the package.
        parameters: of the task's own config, by name; the others keep their defaults.
    """

    name: str
    parameters: tuple[tuple[str, Any], ...] = ()

    def dataset(self, seed: int, size: int) -> Any:
        """The package's data set of this task: a function of its arguments and the seed."""
        return load().create_dataset(self.name, seed=seed, size=size, **dict(self.parameters))


@functools.cache
def load() -> Any:
    """The package, imported."""
    try:
        import reasoning_gym
    except ImportError:
        raise ImportError("reasoning_gym is not installed: pip install 'maxrl-jax[reasoning_gym]'") from None
    return reasoning_gym


def read_tasks(text: str) -> tuple[Spec, ...]:
    """The tasks of a string: names separated by commas, each followed by its parameters in brackets where it has any.

    Raises:
        ValueError: not of this form, an unknown task or parameter (with close names), a value the task refuses, a task
            that stands twice.
        ImportError: the package is not installed.
    """
    try:
        parsed = ast.parse(f"({text},)", mode="eval").body
        specs = tuple(_spec(node) for node in parsed.elts)  # type: ignore[attr-defined]
    except (SyntaxError, ValueError, AttributeError, TypeError):
        raise ValueError("names such as 'products(max_digits=1), gcd'") from None
    if not specs:
        raise ValueError("at least one task")
    for spec in specs:
        _check(spec)
    names = [spec.name for spec in specs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ValueError(f"each task once ({twice} stands twice)")
    return specs


def _spec(node: ast.expr) -> Spec:
    if isinstance(node, ast.Name):
        return Spec(node.id)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.args:
        raise ValueError
    given = ((str(word.arg), ast.literal_eval(word.value)) for word in node.keywords)
    return Spec(node.func.id, tuple((name, tuple(v) if isinstance(v, list) else v) for name, v in given))


def _check(spec: Spec) -> None:
    """Raises ValueError, which says what is allowed, unless the package makes a data set of this spec."""
    package = load()
    known = package.factory.DATASETS
    if spec.name not in known:
        close = difflib.get_close_matches(spec.name, known, 3) or sorted(known)
        raise ValueError(f"tasks of reasoning-gym, such as {', '.join(close)} (not {spec.name})")
    fields = [field.name for field in dataclasses.fields(known[spec.name][1]) if field.name not in _SET_BY_US]
    for name, _ in spec.parameters:
        if name not in fields:
            raise ValueError(f"parameters of {spec.name}: {', '.join(fields)} (not {name})")
    try:
        spec.dataset(seed=0, size=1)[0]
    except Exception as error:  # the package asserts, and raises whatever a wrong value leads to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"values that {spec.name} takes ({reason})") from None
