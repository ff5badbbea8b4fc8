"""The few numbers of an evaluation that tell what it found, of all that it logs."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from maxrl_jax.runs.folder import metric_writer

DEFAULT = ("pass@", "best@", "reward_mean", "top1", "shortest", "shortest_pass@")
"""Names, without their phase, in the order they are shown; one that ends in @ stands for its smallest and largest k."""

_FEW = 3


def of(values: Mapping[str, Any], names: Sequence[str] = DEFAULT) -> dict[str, float]:
    """The headline of one evaluation.

    Args:
        values: ``{"eval/pass@1": number, ...}``; a list counts as the mean of what is finite in it.
        names: what is wanted, as in `DEFAULT`; where nothing of it is there, the first few values are taken.

    Returns:
        ``{"pass@1": 0.2, "pass@64": 0.7, ...}``, finite ones only.
    """
    numbers = {name.partition("/")[2]: _number(value) for name, value in values.items() if "/" in name}
    finite = {name: value for name, value in numbers.items() if value is not None}
    found: dict[str, float] = {}
    for name in names:
        if name.endswith("@"):
            ks = family(finite, name)
            found |= {f"{name}{k}": ks[k] for k in list(ks)[:1] + list(ks)[1:][-1:]}
        elif name in finite:
            found[name] = finite[name]
    return found or dict(list(finite.items())[:_FEW])


def family(values: Mapping[str, float], name: str) -> dict[int, float]:
    """``{k: value}`` of "pass@1", "pass@2", ..., by rising k, for the name "pass@"."""
    matches = ((re.fullmatch(rf"{re.escape(name)}(\d+)", key), value) for key, value in values.items())
    return dict(sorted((int(match[1]), value) for match, value in matches if match))


def first_and_last(lines: Sequence[str]) -> list[dict[str, Any]]:
    """The first and the last evaluation among the lines of metrics.jsonl; one entry when they are one, none without."""
    found = [line for line in lines if '"eval/' in line]
    return [json.loads(line) for line in dict.fromkeys([*found[:1], *found[-1:]])]


def _number(value: Any) -> float | None:
    try:
        number = metric_writer.mean(value if isinstance(value, list) else float(value))
    except (TypeError, ValueError):  # words, or arrays of more than one number
        return None
    return number + 0.0 if math.isfinite(number) else None  # -0.0 is shown as 0
