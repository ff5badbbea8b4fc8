"""Estimators whose hyper-parameters follow the step, all in one program: a new phase compiles nothing."""

import dataclasses
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from maxrl_jax import advantages


class Estimator(Protocol):
    """Advantages from rewards, ``estimator(rewards [P, N], **arrays)``: one of the table, or a `Schedule` at a step."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the arrays that it is given beside the rewards."""
        ...

    def __call__(self, rewards: Any, **arrays: Any) -> Float[Array, "P N"]:
        """The advantages."""
        ...


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The estimator from each step on: ``phases`` are (first step, estimator), the first from step 0.

    Hyper-parameters differ from phase to phase, the arrays that are needed do not.
    """

    phases: tuple[tuple[int, advantages.Estimator], ...]

    def at(self, step: Int[Array, ""] | int) -> Estimator:
        """The estimator of a step, which may be traced."""
        return self.phases[0][1] if len(self.phases) == 1 else _AtStep(self.phases, step)


@dataclasses.dataclass(frozen=True)
class _AtStep:
    """A schedule's estimator at one step."""

    phases: tuple[tuple[int, advantages.Estimator], ...]
    step: Int[Array, ""] | int

    @property
    def needs(self) -> tuple[str, ...]:
        return self.phases[0][1].needs

    def __call__(self, rewards: Any, **arrays: Any) -> Float[Array, "P N"]:
        starts = jnp.asarray([start for start, _ in self.phases])
        phase = jnp.searchsorted(starts, self.step, side="right") - 1
        branches = [lambda values, given, own=own: own(values, **given) for _, own in self.phases]
        return jax.lax.switch(phase, branches, rewards, arrays)
