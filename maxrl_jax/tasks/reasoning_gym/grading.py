"""The work of a worker process: one answer scored by the package's own verifier. It imports no JAX."""

import dataclasses
import functools
from typing import Any

from maxrl_jax.tasks.mathematics.grading import NO_ANSWER, RIGHT, WRONG
from maxrl_jax.tasks.reasoning_gym.extraction import extract
from maxrl_jax.tasks.reasoning_gym.specs import Spec, load


@dataclasses.dataclass(frozen=True)
class Gold:
    """The parts of a problem that its verifier needs.

    Attributes:
        spec: of its task.
        rule: by which an answer is taken out of a text.
        entry: the package's record: question, answer, metadata.
    """

    spec: Spec
    rule: str
    entry: dict[str, Any]

    def __str__(self) -> str:
        return str(self.entry["answer"])


@dataclasses.dataclass(frozen=True)
class Grade:
    """``grade(answer, gold) -> (index into REASONS, reward)``; right is what the verifier scores 1.

    Attributes:
        graded: whether the reward is the verifier's score; else 1 for a right answer and 0 for any other.
    """

    graded: bool = False

    def __call__(self, answer: str, gold: Gold) -> tuple[int, float]:
        """Scores one answer."""
        said = extract(answer, gold.rule)
        if said is None:
            return NO_ANSWER, 0.0
        score = float(_verifier(gold.spec).score_answer(said, gold.entry))
        return (RIGHT if score >= 1.0 else WRONG), (score if self.graded else float(score >= 1.0))

    def load(self) -> None:
        """Imports the package."""
        load()


@functools.lru_cache(maxsize=128)
def _verifier(spec: Spec) -> Any:
    return spec.dataset(seed=0, size=1)
