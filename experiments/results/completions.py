"""Answers of a run's policies: completions.jsonl, the same prompts at every evaluation."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

FILE = "completions.jsonl"


class Answer(NamedTuple):
    """One answer and its verdict; an evaluation of one sample a prompt has no advantage."""

    text: str
    reward: float
    reason: str
    advantage: float | None
    length: int

    @property
    def numbers(self) -> str:
        """Reward, advantage, length and reason in short."""
        advantage = "" if self.advantage is None else f"advantage {self.advantage:+.2f}, "
        return f"reward {self.reward:g}, {advantage}{self.length} tokens, {self.reason}"


@dataclasses.dataclass(frozen=True)
class Completion:
    """The answers to a prompt at a step of RL; gold is "" where there is no right answer to write down."""

    step: int
    prompt: str
    gold: str
    answers: Sequence[Answer]

    @property
    def right(self) -> list[Answer]:
        """The answers with the full reward."""
        return [answer for answer in self.answers if answer.reward >= 1]

    @property
    def failed(self) -> list[Answer]:
        """The other answers."""
        return [answer for answer in self.answers if answer.reward < 1]

    @property
    def pass_rate(self) -> float:
        """Share of right answers."""
        return len(self.right) / max(len(self.answers), 1)


def read(folder: Path) -> list[Completion]:
    """The completions of a run folder, by step; of a step written twice, by a run that was killed, the later ones.

    Raises:
        FileNotFoundError: the run has written none.
    """
    found: dict[tuple[int, str], Completion] = {}
    text = (folder / FILE).read_text(encoding="utf-8")
    for line in text[: text.rfind("\n") + 1].splitlines():  # a line that a kill cut in two is left out
        row = json.loads(line)
        columns = (row[name] for name in ("answers", "rewards", "reasons", "advantages", "lengths"))
        answers = [Answer(*values) for values in zip(*columns, strict=True)]
        found[row["step"], row["prompt"]] = Completion(row["step"], row["prompt"], str(row["gold"]), answers)
    return sorted(found.values(), key=lambda completion: completion.step)


def before_and_after(completions: Iterable[Completion]) -> list[tuple[Completion, Completion]]:
    """Each prompt's first and last completions, those whose pass rate rose most first."""
    by_prompt: dict[str, list[Completion]] = {}
    for completion in completions:
        by_prompt.setdefault(completion.prompt, []).append(completion)
    pairs = [(own[0], own[-1]) for own in by_prompt.values() if len(own) > 1]
    return sorted(pairs, key=lambda pair: pair[0].pass_rate - pair[1].pass_rate)
