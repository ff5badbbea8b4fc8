"""Shapes that the package's signatures name are held to while tests run, where beartype is installed.

A jaxtyping annotation is checked for what it says of the shape: letters stand for one size throughout a call. Scalars
and lists, which functions take for arrays, and types are left to pyright.
"""

import functools
import importlib.util
import types
import typing
import warnings
from typing import Any


def install():
    """To be called before the package is imported."""
    if importlib.util.find_spec("beartype"):
        from jaxtyping import install_import_hook

        install_import_hook("maxrl_jax", "tests.shapes.checked")


class _Shapeless(type):
    def __instancecheck__(cls, value):
        return getattr(value, "shape", ()) == ()


class Shapeless(metaclass=_Shapeless):
    """A scalar, or anything else that is no array."""


def checked(function):
    """Beartype for the shapes of a call's arguments and results together.

    jaxtyping checks arguments alone first, for which it writes Any for the result. Not here: functions refuse shapes in
    their own words, and what they have let through is checked at their end. Nor fields of dataclasses, which JAX fills
    with whatever it maps their leaves to. Nor objects that are called: an estimator hands on what a user's
    function returned, which the config's check refuses in its own words.
    """
    from beartype import beartype

    if function.__annotations__.get("return", Any) is Any or function.__name__ in ("__init__", "__call__"):
        return function
    hints = {name: _shapes(hint) for name, hint in function.__annotations__.items()}
    copy = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__annotations__ = {name: hint for name, hint in hints.items() if hint is not Any}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return beartype(copy)


def _shapes(hint):
    """The hint with nothing but shapes: Any where it has none."""
    import jaxtyping

    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return jaxtyping.Shaped[Any, hint.dim_str] | Shapeless
    arguments = tuple(_shapes(part) for part in typing.get_args(hint) if part is not ...)
    if all(part is Any for part in arguments):
        return Any
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return functools.reduce(lambda one, other: one | other, [a for a in arguments if a is not Any], Shapeless)
    if origin is tuple:
        return tuple[(*arguments, *typing.get_args(hint)[len(arguments) :])]
    return Any
