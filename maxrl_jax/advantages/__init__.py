"""Advantage estimators: pure functions of the rewards of a group, one name per formula.

`get(name, **hyper)` returns ``f(rewards [*batch, N]) -> advantages [*batch, N]``; the gradient estimate is
``(1/N) sum_i A_i S_i``. `TABLE` lists every estimator; each is also importable under its own name.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

from maxrl_jax.advantages.table import TABLE, Entry, Estimator, get, names

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
globals().update({_name: _entry.function for _name, _entry in TABLE.items()})

__all__ = ["TABLE", "Estimator", "Entry", "get", "names", *TABLE]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Callable[..., Any]:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
