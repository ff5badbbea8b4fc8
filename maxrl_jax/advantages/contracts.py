"""Checks of hyper-parameters and rewards; errors name the value given and the values allowed, before any compile."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import jax
import jax.core
import numpy as np


def whole_number(method: str, key: str, value: Any) -> int:
    """Returns `value` as an int; a ValueError names `key` when it is not a whole number."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"{method}: {key} must be a whole number, got {value!r}")
    return int(value)


def at_least(method: str, key: str, value: Any, low: int) -> int:
    """Returns `value` as an int; a ValueError when it is not a whole number >= `low`."""
    value = whole_number(method, key, value)
    if value < low:
        raise ValueError(f"{method}: got {key} = {value}, allowed is a whole number >= {low}")
    return value


def integers(method: str, key: str, values: Any, low: int, high: int) -> None:
    """Checks integers of any shape: their type always, and that concrete ones lie in low..high (traced ones pass)."""
    dtype = values.dtype if isinstance(values, jax.Array) else np.asarray(values).dtype
    if not np.issubdtype(dtype, np.integer):
        got = f"the type {dtype}" if isinstance(values, jax.core.Tracer) else repr(values)
        raise ValueError(f"{method}: {key} must hold whole numbers (an integer type), got {got}")
    _within(method, key, values, low, high, f"whole numbers in {low}..{high}")


# Sums of probabilities and float32 rates held in float64 overshoot 1 by rounding: that much is not a mistake.
_ROUNDING = 1e-5


def probabilities(method: str, key: str, values: Any) -> None:
    """Checks that concrete numbers of any shape lie in [0, 1] up to rounding, none of them nan; traced ones pass."""
    _within(method, key, values, -_ROUNDING, 1 + _ROUNDING, "0 to 1")


def _within(method: str, key: str, values: Any, low: float, high: float, allowed: str) -> None:
    if isinstance(values, jax.core.Tracer):
        return
    concrete = np.asarray(values)
    inside = (concrete >= low) & (concrete <= high)
    if not inside.all():
        raise ValueError(f"{method}: got {key} = {concrete[~inside].flat[0]!s}, allowed is {allowed}")


def count(method: str, key: str, value: Any, *, low: int, num_rollouts: int | None, below_n: int) -> None:
    """Checks ``low <= value <= N - below_n``; with `num_rollouts` None only the part that does not need N."""
    value = whole_number(method, key, value)
    allowed = f"{low} <= {key} <= N" + (f" - {below_n}" if below_n else "")
    if value < low:
        raise ValueError(f"{method}: got {key} = {value}, allowed is {allowed}")
    if num_rollouts is not None and value > num_rollouts - below_n:
        raise ValueError(
            f"{method}: got {key} = {value} with N = {num_rollouts} rollouts, "
            f"allowed is {allowed} (here {key} <= {num_rollouts - below_n})"
        )


def rollouts(method: str, num_rollouts: int | None, *, at_least: int) -> None:
    """Checks the group size N (skipped while it is not known)."""
    if num_rollouts is not None and whole_number(method, "N", num_rollouts) < at_least:
        raise ValueError(f"{method}: got N = {num_rollouts} rollouts, allowed is N >= {at_least}")


def non_negative(method: str, key: str, value: Any) -> None:
    """Checks a finite real number >= 0."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ValueError(f"{method}: {key} must be a number >= 0, got {value!r}")
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{method}: got {key} = {value}, allowed is a finite number >= 0")


def positive(method: str, key: str, value: Any) -> None:
    """Checks a finite real number > 0."""
    non_negative(method, key, value)
    if value == 0:
        raise ValueError(f"{method}: got {key} = {value}, allowed is a finite number > 0")


def choice(method: str, key: str, value: Any, allowed: Collection[Any]) -> None:
    """Checks membership in a list of names."""
    if value not in allowed:
        raise ValueError(f"{method}: got {key} = {value!r}, allowed is one of {', '.join(map(str, allowed))}")


def coefficients(method: str, key: str, value: Any) -> tuple[float, ...]:
    """Returns a non-empty tuple of finite floats."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence | np.ndarray) or not len(value):
        raise ValueError(f"{method}: {key} must be a non-empty sequence of numbers, got {value!r}")
    if not all(isinstance(c, int | float | np.number) and math.isfinite(c) for c in value):
        raise ValueError(f"{method}: {key} must hold finite numbers only, got {value!r}")
    return tuple(float(c) for c in value)


# Kinds of rewards, each contained in the next; an entry names the widest it is defined for.
REWARD_KINDS = {"binary": "binary rewards (0 or 1)", "unit": "rewards in [0, 1]", "real": "real-valued rewards"}


def reward_kind(method: str, defined_for: str, given: str) -> None:
    """Checks by their declared kinds (names of `REWARD_KINDS`) that a judge's rewards suit an estimator."""
    choice(method, "reward_kind", given, REWARD_KINDS)
    kinds = list(REWARD_KINDS)
    if kinds.index(given) > kinds.index(defined_for):
        raise ValueError(
            f"{method} is defined for {REWARD_KINDS[defined_for]} and the judge gives {REWARD_KINDS[given]}; "
            "allowed is maxrl_order or another estimator for real-valued rewards"
        )


def rewards_within(method: str, defined_for: str, rewards: jax.Array) -> None:
    """Refuses concrete rewards that are not of the kind; traced rewards pass (drivers check the declared kind)."""
    if defined_for == "real" or isinstance(rewards, jax.core.Tracer):
        return
    values = np.asarray(rewards)
    inside = (values == 0) | (values == 1) if defined_for == "binary" else (values >= 0) & (values <= 1)
    if not inside.all():
        allowed = {"binary": "0 or 1", "unit": "0 to 1"}[defined_for]
        raise ValueError(
            f"{method} is defined for {REWARD_KINDS[defined_for]}, got {values[~inside].flat[0]!s}; "
            f"allowed is {allowed}. For real-valued rewards use maxrl_order."
        )
