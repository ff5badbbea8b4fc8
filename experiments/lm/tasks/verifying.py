"""A verifier of one's own, as a worker process runs it. It imports no JAX: every worker starts with it."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable

from maxrl_jax.tasks.mathematics import grading


@dataclasses.dataclass(frozen=True)
class OwnGrade:
    """``grade(answer, gold) -> index into REASONS`` from a user's ``function(answer, gold) -> whether it is right``.

    Attributes:
        name: ``my.module:function``, imported in the worker.
    """

    name: str

    def __call__(self, answer: str, gold: str) -> int:
        """Judges one answer; an exception of the function is counted as an error, and the answer as wrong."""
        return grading.RIGHT if self.function(answer, gold) else grading.WRONG

    @property
    def function(self) -> Callable[[str, str], bool]:
        """What the name stands for."""
        module, _, attribute = self.name.partition(":")
        return getattr(importlib.import_module(module), attribute)
