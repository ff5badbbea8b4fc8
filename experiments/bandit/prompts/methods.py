"""Training methods of the prompt bandit: a population objective, or an estimator at N rollouts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from maxrl_jax import advantages, objectives
from maxrl_jax.advantages import Estimator

# Population weights are infinite at p = 0 (ml) and p = 1 (grpo), where grad p is zero: stay inside by a rounding unit.
SMALLEST_RATE, LARGEST_RATE = 1e-30, 1 - 2**-24


@dataclasses.dataclass(frozen=True)
class Method:
    """One way to weigh prompts.

    Attributes:
      name: name of the objective or of the estimator, as everywhere else.
      num_rollouts: N of an estimator; None for a population objective, which is exact gradient ascent.
      hyper: (key, value) pairs of the objective.
      advantage: the estimator; None for a population objective.
    """

    name: str
    num_rollouts: int | None = None
    hyper: tuple[tuple[str, Any], ...] = ()
    advantage: Estimator | None = None

    @property
    def label(self) -> str:
        """Such as "exact ml" or "maxrl N=16"."""
        inside = "".join(f" {key}={value}" for key, value in self.hyper)
        return (
            f"exact {self.name}{inside}" if self.num_rollouts is None else f"{self.name}{inside} N={self.num_rollouts}"
        )

    def identity(self, **more: Any) -> dict[str, Any]:
        """Columns of a table that name a run of it."""
        return {"method": self.name, "label": self.label, "num_rollouts": self.num_rollouts, **more}

    def weight(self, p: jax.Array) -> jax.Array:
        """w(p) with E[gradient] = w(p) grad p: exact at this N, or of the objective. [*batch] -> [*batch]."""
        if self.advantage is None:
            inside = jnp.clip(p, SMALLEST_RATE, LARGEST_RATE)
            return objectives.weight(self.name, inside, **dict(self.hyper))
        return objectives.effective_weight(self.advantage, p, self.num_rollouts)


def exact(name: str, **hyper: Any) -> Method:
    """A population objective: rl, ml, grpo, maxrl (order), pass_at_k (k)."""
    return Method(name, None, tuple(hyper.items()))


def estimator(name: str, num_rollouts: int, **hyper: Any) -> Method:
    """An estimator at N rollouts.

    Raises:
      ValueError: an unknown name, or a hyper-parameter or N that it does not allow.
    """
    chosen = advantages.get(name, **hyper)
    chosen.check(num_rollouts)
    return Method(name, num_rollouts, tuple(hyper.items()), chosen)


def family(names: Sequence[str], num_rollouts: int, k: int) -> tuple[Method, ...]:
    """The estimators of `names` that exist at this N, those for max@k at min(k, largest legal k).

    maxrl_order takes order N // 2, so that it is neither rloo (order 1) nor maxrl (order N - 1).
    """
    found = []
    for name in names:
        entry = advantages.TABLE[name]
        hyper: dict[str, Any] = {}
        if "k" in entry.defaults:
            hyper["k"] = min(k, num_rollouts - (name != "expected_improvement"))
        if "order" in entry.defaults:
            hyper["order"] = max(1, num_rollouts // 2)
        if name == "pkpo":
            hyper["baseline"] = "loo_minus_one"
        try:
            found.append(estimator(name, num_rollouts, **hyper))
        except ValueError:
            continue  # rloo, maxpo, maxrl_order at N = 1, pkpo's loo_minus_one below k = 2
    return tuple(found)


class Tables(NamedTuple):
    """Methods as data, so that they can be vmapped over.

    Attributes:
      success: [methods, phases, N + 1] A_success over K = 0..N.
      fail: [methods, phases, N + 1] A_fail.
      first_steps: [phases] int32, the step at which each phase begins; the first is 0.
    """

    success: np.ndarray
    fail: np.ndarray
    first_steps: np.ndarray


def tables(methods: Sequence[Method]) -> Tables:
    """Tables of methods with one N, in one phase."""
    sizes = {method.num_rollouts for method in methods}
    if len(sizes) != 1 or None in sizes:
        raise ValueError(f"tables: got methods with N in {sizes}, allowed is one N for all")
    forms = [objectives.binary_form(method.advantage, method.num_rollouts) for method in methods]
    success, fail = (np.stack([form[i] for form in forms])[:, None] for i in (0, 1))
    return Tables(success, fail, np.zeros(1, np.int32))


def in_phases(phases: Sequence[tuple[int, Sequence[Method]]]) -> Tables:
    """Tables of methods that change at given steps: ``[(first_step, methods), ...]``, equally many in each phase."""
    parts = [tables(methods) for _, methods in phases]
    return Tables(
        np.concatenate([part.success for part in parts], axis=1),
        np.concatenate([part.fail for part in parts], axis=1),
        np.array([first for first, _ in phases], np.int32),
    )
