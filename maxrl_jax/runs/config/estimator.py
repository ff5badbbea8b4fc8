"""Reads ``rl.advantage``: an estimator's name with its hyper-parameters beside it, constant or in phases.

A hyper-parameter written ``((0, 8), (500, 1))`` is 8 from step 0 and 1 from step 500. Each phase is one
static estimator, so a driver compiles once per phase.
"""

import inspect
from typing import Any

import jax
import jax.numpy as jnp

from maxrl_jax import advantages
from maxrl_jax.advantages import Estimator
from maxrl_jax.errors import ConfigError, suggestion
from maxrl_jax.runs.config.checks import field
from maxrl_jax.runs.config.imported import check_shape

Schedule = tuple[tuple[int, Any], ...]


def hyper_names() -> tuple[str, ...]:
    """Every hyper-parameter of the estimators in the table, in the table's order, each once."""
    return tuple(dict.fromkeys(name for entry in advantages.TABLE.values() for name in entry.defaults))


def phases(
    config: Any,
    key: str,
    *,
    num_rollouts: int,
    reward_kind: str = "binary",
    provides: tuple[str, ...] = (),
) -> list[tuple[int, Estimator]]:
    """The estimator of a config, as one entry per phase.

    A user's own function is evaluated abstractly, so one that returns another shape is refused here.

    Args:
        config: the run's config.
        key: where the estimator stands, such as "rl.advantage": a ``name`` (of the table, or
            ``my.module:function``) and its hyper-parameters beside it; those left at None take the
            estimator's default.
        num_rollouts: N, the group size.
        reward_kind: what the judge declares its rewards to be: binary (0 or 1), unit (in [0, 1]) or real.
        provides: the keyword arrays the driver hands to the estimator beside the rewards.

    Returns:
        ``[(first_step, Estimator), ...]``, the first at step 0; one entry when nothing is scheduled.

    Raises:
        ConfigError: unknown name or hyper-parameter, a value that N does not allow, a malformed schedule,
            rewards the estimator is not defined for, an array the driver does not have, or an own function that
            does not map [*batch, N] to [*batch, N].
    """
    settings = field(config, key)
    name = settings.name
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{key}.name", name, "the name of an estimator")
    given = {k: settings[k] for k in sorted(settings.keys()) if k != "name" and settings[k] is not None}
    _known_hyper(key, name, given)
    schedules = {k: _schedule(f"{key}.{k}", value) for k, value in given.items()}
    found = []
    for start in sorted({0} | {step for schedule in schedules.values() for step, _ in schedule}):
        hyper = {k: [value for step, value in rows if step <= start][-1] for k, rows in schedules.items()}
        chosen = _build(key, name, hyper, num_rollouts, reward_kind)
        _check_arrays(key, chosen, provides)
        found.append((start, chosen))
    return found


def _known_hyper(key: str, name: str, given: dict[str, Any]) -> None:
    """Refuses a hyper-parameter that is set but that the estimator ignores."""
    if ":" in name:
        return
    if name not in advantages.names():
        allowed = ", ".join(advantages.names()) + ", or your own as package.module:function"
        raise ConfigError(f"{key}.name", name, allowed + suggestion(name, advantages.names()))
    allowed = advantages.TABLE[name].defaults
    for hyper, value in given.items():
        if hyper not in allowed:
            raise ConfigError(
                f"{key}.{hyper}", value, f"None, as {name} takes {', '.join(allowed) or 'no hyper-parameter'}"
            )
    for hyper, default in allowed.items():
        if default is inspect.Parameter.empty and hyper not in given:
            raise ConfigError(f"{key}.{hyper}", None, f"a value: {name} has no default for it")


def _build(key: str, name: str, hyper: dict[str, Any], num_rollouts: int, reward_kind: str) -> Estimator:
    """The estimator, legal at N and for the rewards; the error names the hyper-parameter that is not."""
    try:
        chosen = advantages.get(name, **hyper)
        chosen.check(num_rollouts, reward_kind=reward_kind)
    except ValueError as error:
        wrong = _at_fault(name, hyper, num_rollouts)
        raise ConfigError(f"{key}.{wrong}", hyper.get(wrong, name), str(error)) from error.__cause__
    if chosen.entry is None:
        _check_own(key, chosen, num_rollouts)
    return chosen


def _at_fault(name: str, hyper: dict[str, Any], num_rollouts: int) -> str:
    """The hyper-parameter whose change alone would make the estimator legal at N, or "name" where none would."""
    entry = advantages.TABLE.get(name)
    legal = entry.settings(num_rollouts) if entry else []
    for key in hyper:
        others = {k: value for k, value in hyper.items() if k != key}
        for change in ({}, *({key: setting[key]} for setting in legal if key in setting)):
            try:
                advantages.get(name, **others, **change).check(num_rollouts)
            except ValueError:
                continue
            return key
    return "name"


def _check_arrays(key: str, chosen: Estimator, provides: tuple[str, ...]) -> None:
    missing = [array for array in chosen.needs if array not in provides]
    if missing:
        here = ", ".join(provides) or "none beside the rewards"
        allowed = f"an estimator that needs no {', '.join(missing)} (this driver has: {here})"
        raise ConfigError(f"{key}.name", chosen.name, allowed)


def _check_own(key: str, chosen: Estimator, num_rollouts: int) -> None:
    """Checks the shapes an own function returns, for a batch of groups of another size than N and for one group."""
    takes = "rewards [*batch, N] to advantages [*batch, N]"
    for shape in ((num_rollouts + 1, num_rollouts), (num_rollouts,)):
        rewards = jax.ShapeDtypeStruct(shape, jnp.float32)
        check_shape(f"{key}.name", chosen.name, chosen, [rewards], shape, takes=takes)


def _schedule(key: str, value: Any) -> Schedule:
    """``((step, value), ...)`` as given, a constant as one phase from step 0."""
    if not (isinstance(value, tuple) and value and all(isinstance(entry, tuple | list) for entry in value)):
        return ((0, value),)
    steps = [entry[0] for entry in value if len(entry) == 2 and type(entry[0]) is int]
    if len(steps) < len(value) or steps[0] != 0 or steps != sorted(set(steps)):
        raise ConfigError(key, value, "phases ((0, value), (step, value), ...) with whole, increasing steps from 0")
    return tuple((step, entry) for step, entry in value)
