"""The page's data: the binary form of every symmetric estimator at many group sizes, taken from the core.

A setting is an estimator with its hyper-parameters fixed. Everything the page shows of it follows from two tables of
length N + 1, A_success(K) and A_fail(K): weights and variances by summing over K, and, for the estimators that are
additive over thresholds (docs/theory.md, section 3.5), the advantages of real rewards by summing over their gaps.
Equal tables are stored once, in float64.
"""

from __future__ import annotations

import base64
import inspect
import itertools
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.results import style
from maxrl_jax import advantages, objectives
from maxrl_jax.advantages import subset_max

SIZES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 1024)
"""Group sizes N that the page offers."""

COUNTS = ("k", "order")
"""Hyper-parameters that range over whole numbers up to N; all others take the values named by the table's settings."""

Hyper = dict[str, Any]


def ladder(num_rollouts: int) -> list[int]:
    """Values of k and of the order that are offered at N: all of them up to 32, a ladder beyond."""
    n = num_rollouts
    if n <= 32:
        return list(range(1, n + 1))
    base = 2 if n <= 256 else 4
    steps = {base**i for i in range(n.bit_length()) if base**i < n}
    return sorted(steps | {n // 2, n - 1, n} | ({3, 6, 12, 24} if base == 2 else set()))


def choices(entry: advantages.Entry) -> dict[str, list[Any]]:
    """The values of every hyper-parameter that is no count, the default first."""
    found: dict[str, list[Any]] = {}
    for key, default in entry.defaults.items():
        if key in COUNTS:
            continue
        values = [] if default is inspect.Parameter.empty else [default]
        values += [hyper[key] for hyper in entry.settings(12) if key in hyper]
        found[key] = list(dict.fromkeys(values))
    return found


def settings(entry: advantages.Entry, num_rollouts: int) -> Iterator[Hyper]:
    """Every setting of an estimator that is offered at N and legal there."""
    values = {key: ladder(num_rollouts) if key in COUNTS else choices(entry)[key] for key in entry.defaults}
    for combination in itertools.product(*values.values()):
        hyper = dict(zip(values, combination, strict=True))
        try:
            entry.limits(num_rollouts, **hyper)
        except ValueError:
            continue
        yield hyper


def setting_key(hyper: Hyper) -> str:
    """The name of a setting within its estimator, as the page builds it too."""
    return ",".join(f"{key}={value}" for key, value in hyper.items())


def aim(entry: advantages.Entry, num_rollouts: int, hyper: Hyper) -> tuple[str, Hyper] | None:
    """The objective an estimator was published for: its bias is measured against it when nothing else is chosen."""
    if entry.aim:
        return entry.aim(num_rollouts, **hyper)
    exact = entry.objective(num_rollouts, **hyper)
    return exact[:2] if exact and exact[0] != "mixture" else None


def real_form(entry: advantages.Entry) -> dict[str, Any] | None:
    """How the page computes advantages of real rewards from binary tables; None where it cannot.

    thresholds: the sum over gaps of the tables' values. spread: another estimator's advantages over their own root
    mean square. subset_spread: over the standard deviation of the k-subsets' max. acceptances: the mean of the binary
    form over r_j ~ Bernoulli(g_j).
    """
    if entry.reward_kind == "binary":
        return None
    if entry.name == "grpo":
        return {"form": "spread", "of": "mean_baseline", "with": {}, "when": {}}
    if entry.name == "bagirov":
        return {"form": "spread", "of": "bagirov", "with": {"centering": "mean"}, "when": {"centering": "zscore"}}
    if entry.name == "chen":
        return {"form": "subset_spread", "of": "chen", "with": {"normalize": "False"}, "when": {"normalize": "True"}}
    if entry.name == "maxrl_likelihood":
        return {"form": "acceptances"}
    return {"form": "thresholds"} if _adds_up_over_thresholds(entry) else None


def _adds_up_over_thresholds(entry: advantages.Entry) -> bool:
    """Whether advantages are sums over gaps of the binary form, tried on one group."""
    g, n = np.array([0.1, 0.2, 0.5, 0.9]), 4
    adv = advantages.get(entry.name, **entry.settings(n)[0])
    success, fail = objectives.binary_form(adv, n)
    wanted = entry.definition(g, **dict(adv.hyper))
    summed = [
        g[0] * success[n] + sum((success if i >= j else fail)[n - j] * (g[j] - g[j - 1]) for j in range(1, n))
        for i in range(n)
    ]
    return bool(np.allclose(summed, wanted, atol=1e-9))


class Pool:
    """Float64 tables one after another, equal ones once."""

    def __init__(self):
        self._tables: list[np.ndarray] = []
        self._starts: dict[bytes, int] = {}
        self._length = 0

    def add(self, table: np.ndarray) -> int:
        """Stores a table and returns where it starts."""
        table = np.asarray(table, "<f8") + 0.0  # one zero, not two
        key = table.tobytes()
        if key not in self._starts:
            self._starts[key] = self._length
            self._tables.append(table)
            self._length += table.size
        return self._starts[key]

    def encoded(self) -> str:
        """All numbers, little-endian, deflated, in base 64."""
        return base64.b64encode(zlib.compress(np.concatenate(self._tables).tobytes(), 9)).decode()


def _row(entry: advantages.Entry, num_rollouts: int, hyper: Hyper, pool: Pool) -> list[Any]:
    """[start of A_success, start of A_fail, name of its aim, order or k of that, start of the rank weights]."""
    success, fail = objectives.binary_form(advantages.get(entry.name, **hyper), num_rollouts)
    objective = aim(entry, num_rollouts, hyper)
    name, number = (objective[0], next(iter(objective[1].values()), 0)) if objective else (None, 0)
    row = [pool.add(success), pool.add(fail), name, number]
    if entry.name == "chen" and hyper["normalize"]:
        row.append(pool.add(subset_max.rank_weights(num_rollouts, hyper["k"])))
    return row


def _describe(entry: advantages.Entry) -> dict[str, Any]:
    options = {key: [str(v) for v in values] for key, values in choices(entry).items()}
    return {
        "name": entry.name,
        "label": style.LABELS.get(entry.name, entry.name),
        "colour": style.COLOURS.get(entry.name, style.COLOURS["base"]),
        "estimates": entry.estimates,
        "source": entry.source,
        "centred": entry.centred,
        "hyper": [{"key": key, "values": options.get(key)} for key in entry.defaults],
        "real": real_form(entry),
    }


def export() -> dict[str, Any]:
    """Everything the page is given, ready for JSON."""
    pool = Pool()
    shown = [entry for entry in advantages.TABLE.values() if entry.symmetric]
    # A mixture's tables are sums of maxpo's, which the page adds up for any coefficients.
    tabled = [entry for entry in shown if entry.name != "mixture"]
    return {
        "sizes": SIZES,
        "ladders": {n: ladder(n) for n in SIZES},
        "estimators": [_describe(entry) for entry in shown],
        "left_out": [entry.name for entry in advantages.TABLE.values() if not entry.symmetric],
        "objectives": [name for name in objectives.OBJECTIVES if name != "mixture"],
        "tables": {
            n: {e.name: {setting_key(h): _row(e, n, h, pool) for h in settings(e, n)} for e in tabled} for n in SIZES
        },
        "pool": pool.encoded(),
    }
