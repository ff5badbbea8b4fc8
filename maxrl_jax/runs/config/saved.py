"""Reading a run's config again."""

from collections.abc import Mapping
from typing import Any


def over(defaults: Any, saved: Mapping[str, Any]) -> Any:
    """A run's config over one of today: fields that are newer than the run keep their defaults.

    Args:
        defaults: an `ml_collections.ConfigDict` of the run's experiment, changed in place.
        saved: the run's config.json. JSON has lists where the config had tuples; they are tuples again.

    Returns:
        ``defaults``.
    """
    with defaults.ignore_type():
        defaults.update(_with_tuples(saved))
    return defaults


def _with_tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _with_tuples(entry) for name, entry in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
