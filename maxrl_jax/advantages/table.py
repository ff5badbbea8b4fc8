"""The one table of estimators that `get`, the config checks, the command-line help, the tests and the docs read.

An entry is made by decorating the mathematics with `@estimator(...)`. The decorated function is the public
one: it checks hyper-parameters and group size, refuses concrete non-binary rewards where the formula needs
binary ones, computes in float32 or wider, and returns float32 (float64 for float64 input).
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from maxrl_jax.advantages import contracts
from maxrl_jax.advantages.gap_form import lookup
from maxrl_jax.advantages.ranks import compute_dtype

Hyper = dict[str, Any]


def _no_limits(num_rollouts: int | None) -> None:
    contracts.rollouts("estimator", num_rollouts, at_least=1)


@dataclasses.dataclass(frozen=True, eq=False)  # one object a row: hashed by identity
class Entry:
    """One row of the table.

    Attributes:
        name: the one name used in configs, code, logs and plots.
        function: the public function ``rewards [*batch, N], **hyper -> advantages [*batch, N]``.
        defaults: hyper-parameters and their defaults; `inspect.Parameter.empty` where a value must be given.
        needs: further keyword arrays; those ending in ``_rewards`` are [*batch], the others [*batch, N].
        reward_kind: the widest kind of rewards it is defined for: 'binary', 'unit' (in [0, 1]) or 'real'.
        symmetric: the advantages are a symmetric function of the rewards alone.
        centred: sum_i A_i = 0 in every batch.
        limits: ``limits(num_rollouts or None, **hyper)`` raises ValueError for what is not allowed.
        binary_form: ``(num_successes, num_rollouts, **hyper) -> (A_success, A_fail)``, for symmetric entries.
        objective: ``(num_rollouts, **hyper) -> (name, hyper, factor) or None``: for binary rewards the expectation of
            (1/N) sum_i A_i S_i is exactly factor x objectives.weight(name, p, **hyper) x grad p at this N; where the
            entry takes real rewards, the same mixture of grad max@k (rl is max@1, maxrl has coefficients 1/k).
        estimates: the quantity that (1/N) sum_i A_i S_i estimates.
        source: where the formula is from.
        definition: the formula for one group in plain numpy, ``(rewards [N], **arrays, **hyper) -> [N]``, given every
            hyper-parameter.
        settings: ``num_rollouts -> list of legal hyper-parameter dicts`` spanning the entry, for tests and docs.
        aim: ``(num_rollouts, **hyper) -> (name, hyper)`` of the objective it was published for, where that differs
            from the objective that it estimates exactly.
        look: colour, line and marker in plots, such as "red - o"; None leaves the choice to the plots.
        label: the name as it is plotted, which may differ in capitals, hyphens and spaces alone: "MaxRL" for maxrl.
    """

    name: str
    function: Callable[..., jax.Array]
    defaults: Mapping[str, Any]
    estimates: str
    source: str
    definition: Callable[..., np.ndarray]
    needs: tuple[str, ...] = ()
    reward_kind: str = "real"
    symmetric: bool = True
    centred: bool = False
    limits: Callable[..., None] = _no_limits
    binary_form: Callable[..., tuple[Any, Any]] | None = None
    objective: Callable[..., tuple[str, Hyper, float] | None] = lambda num_rollouts, **hyper: None
    settings: Callable[[int], list[Hyper]] = lambda num_rollouts: [{}]
    aim: Callable[..., tuple[str, Hyper]] | None = None
    look: str | None = None
    label: str = ""

    def __post_init__(self) -> None:
        label = self.label or self.name.replace("_", " ").capitalize()
        if re.sub("[ -]", "_", label.lower()) != self.name:
            raise ValueError(f"estimator {self.name!r}: got label = {label!r}, allowed is another spelling of the name")
        object.__setattr__(self, "label", label)
        if self.symmetric and self.binary_form is None:
            object.__setattr__(self, "binary_form", _binary_form_of(self.definition))


TABLE: dict[str, Entry] = {}


def estimator(needs: tuple[str, ...] = (), **fields: Any) -> Callable[[Callable[..., Any]], Callable[..., jax.Array]]:
    """Adds the decorated function to the table under its own name; the other arguments are fields of `Entry`."""

    def decorate(mathematics: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
        name = mathematics.__name__
        parameters = list(inspect.signature(mathematics).parameters.values())[1:]
        defaults = {p.name: p.default for p in parameters if p.name not in needs}

        @functools.wraps(mathematics)
        def public(rewards: jax.Array, **keywords: Any) -> jax.Array:
            rewards = _as_rewards(name, rewards)
            arrays = {key: _as_companion(name, key, keywords.pop(key, None), rewards) for key in needs}
            hyper = complete(name, defaults, keywords)
            entry.limits(rewards.shape[-1], **hyper)
            contracts.rewards_within(name, entry.reward_kind, rewards)
            return mathematics(rewards, **arrays, **hyper).astype(compute_dtype(rewards.dtype))

        entry = Entry(name, public, defaults, needs=needs, **fields)
        if name in TABLE:
            raise ValueError(f"estimator {name!r} is already in the table")
        TABLE[name] = entry
        return public

    return decorate


def _binary_form_of(definition: Callable[..., np.ndarray]) -> Callable[..., tuple[Any, Any]]:
    """The binary form of an entry that gives none: its definition on a group of every number of successes, O(N^2)."""

    @functools.lru_cache(maxsize=64)
    def tables(num_rollouts: int, hyper: tuple[tuple[str, Any], ...]) -> np.ndarray:
        groups = (np.arange(num_rollouts) < np.arange(num_rollouts + 1)[:, None]).astype(np.float64)
        return np.stack([definition(group, **dict(hyper))[[0, -1]] for group in groups], axis=1)

    def form(num_successes: Any, num_rollouts: int, **hyper: Any) -> tuple[Any, Any]:
        success, fail = tables(num_rollouts, tuple(hyper.items()))
        return lookup(success, num_successes), lookup(fail, num_successes)

    return form


def _as_rewards(name: str, rewards: Any) -> jax.Array:
    rewards = jnp.asarray(rewards)
    if rewards.ndim < 1 or rewards.shape[-1] < 1:
        raise ValueError(f"{name}: rewards must have shape [*batch, N] with N >= 1, got {rewards.shape}")
    if not jnp.issubdtype(rewards.dtype, jnp.floating):
        rewards = rewards.astype(jnp.float32)
    return rewards


def _as_companion(name: str, key: str, array: Any, rewards: jax.Array) -> jax.Array:
    if array is None:
        raise ValueError(f"{name} needs the keyword array {key} beside the rewards")
    array = jnp.asarray(array)
    shape = rewards.shape[:-1] if key.endswith("_rewards") else rewards.shape
    if array.shape != shape:
        raise ValueError(f"{name}: {key} must have shape {shape}, got {array.shape}")
    return array.astype(compute_dtype(rewards.dtype))


def complete(name: str, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> Hyper:
    """Fills in defaults; a ValueError names unknown and missing hyper-parameters."""
    for key in given:
        if key not in defaults:
            allowed = ", ".join(defaults) or "none"
            raise ValueError(f"{name} has no hyper-parameter {key!r}; allowed: {allowed}")
    hyper = {**defaults, **given}
    missing = [key for key, value in hyper.items() if value is inspect.Parameter.empty]
    if missing:
        raise ValueError(f"{name} needs the hyper-parameter {', '.join(missing)}")
    return {key: _static(value) for key, value in hyper.items()}


def _static(value: Any) -> Any:
    """Hyper-parameters are static: sequences become tuples, so that they can be hashed."""
    if isinstance(value, list | tuple | np.ndarray):
        return tuple(_static(v) for v in value)
    return value.item() if isinstance(value, np.generic) else value


@dataclasses.dataclass(frozen=True)
class Estimator:
    """An estimator with its hyper-parameters fixed: a pure, hashable function of the rewards.

    Call it with rewards [*batch, N] (and the arrays named in `needs`) to get advantages [*batch, N]. It is safe
    under jit, vmap and grad and holds no stop_gradient: the losses do that.

    Attributes:
        name: the name given to `get`.
        hyper: (key, value) pairs.
        function: the callable.
        entry: the row of the table, or None for a user's own function.
    """

    name: str
    hyper: tuple[tuple[str, Any], ...]
    function: Callable[..., jax.Array]
    entry: Entry | None = None

    def __call__(self, rewards: Float[Array, "*batch N"], **arrays: Float[Array, "*shape"]) -> Float[Array, "*batch N"]:
        return self.function(rewards, **arrays, **dict(self.hyper))

    def __str__(self) -> str:
        inside = ", ".join(f"{key}={value}" for key, value in self.hyper)
        return f"{self.name}({inside})" if inside else self.name

    @property
    def needs(self) -> tuple[str, ...]:
        """Keyword arrays wanted beside the rewards."""
        return self.entry.needs if self.entry else ()

    def check(self, num_rollouts: int, *, reward_kind: str = "binary") -> None:
        """Raises ValueError when this estimator is not defined for groups of `num_rollouts` or rewards of that kind.

        Args:
            num_rollouts: N.
            reward_kind: what the judge declares its rewards to be: 'binary', 'unit' (in [0, 1]) or 'real'.
        """
        contracts.at_least(self.name, "num_rollouts", num_rollouts, 1)
        if self.entry is None:
            return
        self.entry.limits(num_rollouts, **dict(self.hyper))
        contracts.reward_kind(self.name, self.entry.reward_kind, reward_kind)

    def objective(self, num_rollouts: int) -> tuple[str, Hyper, float] | None:
        """(name, hyper, factor) of the objective this estimates exactly with binary rewards, where there is one."""
        return self.entry.objective(num_rollouts, **dict(self.hyper)) if self.entry else None

    def binary_form(self, num_successes: Any, num_rollouts: int) -> tuple[Any, Any]:
        """(A_success, A_fail) of a group with `num_successes` successes among `num_rollouts` binary rewards.

        Args:
            num_successes: whole numbers 0..N of any shape, concrete (float64 result) or traced (not checked).
                A_success means nothing at 0 and A_fail nothing at N; both are finite there.
            num_rollouts: N.

        Raises:
            ValueError: the estimator is not a symmetric function of the rewards alone; concrete numbers of successes
                that are no integers or outside 0..N.
        """
        if self.entry is None or self.entry.binary_form is None:
            raise ValueError(
                f"{self.name} has no binary form: it is not a symmetric function of the rewards alone"
                if self.entry
                else f"{self.name} declares no binary form; objectives.binary_form evaluates one"
            )
        self.check(num_rollouts)
        if not isinstance(num_successes, jax.core.Tracer):
            contracts.integers(self.name, "num_successes", num_successes, 0, num_rollouts)
        if not isinstance(num_successes, jax.Array):
            num_successes = np.asarray(num_successes, np.float64)
        return self.entry.binary_form(num_successes, num_rollouts, **dict(self.hyper))


def get(name: str, **hyper: Any) -> Estimator:
    """Returns the estimator `name` with its hyper-parameters fixed.

    Args:
        name: a name of the table (`names()`), or ``package.module:function`` for a user's own function
            ``rewards [*batch, N], **hyper -> [*batch, N]``.
        **hyper: its hyper-parameters, static.

    Returns:
        A pure function of rewards [*batch, N].

    Raises:
        ValueError: unknown name or hyper-parameter, or a value that no group size allows.

    Example:
        >>> import jax.numpy as jnp
        >>> get("maxrl")(jnp.array([1.0, 0.0, 0.0, 1.0]))
        Array([ 1., -1., -1.,  1.], dtype=float32)
    """
    if ":" in name:
        return _own(name, hyper)
    if name not in TABLE:
        close = difflib.get_close_matches(name, TABLE, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(
            f"unknown advantage estimator {name!r}{hint}; allowed: {', '.join(TABLE)}, "
            "or your own as package.module:function"
        )
    entry = TABLE[name]
    full = complete(name, entry.defaults, hyper)
    entry.limits(None, **full)
    return Estimator(name, tuple(full.items()), entry.function, entry)


def _own(name: str, hyper: Hyper) -> Estimator:
    module_name, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), attribute)
    except Exception as error:  # of the user's module
        raise ValueError(f"cannot load the advantage estimator {name!r}: {error}") from error
    if not isinstance(function, Callable):
        raise ValueError(f"advantage estimator {name!r} is not callable")
    try:
        inspect.signature(function).bind(None, **hyper)
    except TypeError as error:
        raise ValueError(f"advantage estimator {name!r}: {error}") from None
    return Estimator(name, tuple((key, _static(value)) for key, value in hyper.items()), function)


def names() -> tuple[str, ...]:
    """All names of the table, in its order."""
    return tuple(TABLE)
