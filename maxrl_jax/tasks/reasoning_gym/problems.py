"""Training and held-out problems of several tasks, without one that is in both."""

import collections
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from maxrl_jax.tasks.mathematics.records import Record
from maxrl_jax.tasks.reasoning_gym.extraction import rule_for
from maxrl_jax.tasks.reasoning_gym.grading import Gold
from maxrl_jax.tasks.reasoning_gym.specs import Spec

_TRIES = 4  # draws a problem wanted, after which a task has no more


def make_sets(
    specs: Sequence[Spec],
    *,
    num_problems: int,
    num_held_out: int,
    seed: int,
    extract: str = "auto",
    instruction: str = "",
) -> tuple[list[Record], list[Record]]:
    """(training, held-out) problems, the tasks in turn.

    Held-out problems come from a seed of their own, and the training set leaves out every question that is among them.
    A task of few problems (99 products of one digit) gives a third of them to the held-out set at most, and trains on
    the others.

    Args:
        specs: the tasks.
        num_problems: of each task, for training; fewer where it has no more.
        num_held_out: of each task.
        seed: which problems.
        extract: one of ``RULES``, or auto: the narrowest rule that reads every gold of a task.
        instruction: added to each question.

    Raises:
        ValueError: a task gives the same problem every time.
    """
    training, held_out = [], []
    for spec in specs:
        kept = _distinct(spec, 2 * seed + 1, num_held_out)
        others = _distinct(spec, 2 * seed, num_problems + num_held_out)
        distinct = kept | others
        if len(distinct) < 2:
            raise ValueError(f"tasks with more than one problem (not {spec.name})")
        if len(others) < num_problems + num_held_out:  # the task has no more
            kept = dict(itertools.islice(kept.items(), max(1, len(distinct) // 3)))
        # What the held-out seed gave beyond its share is trained on too.
        rest = {question: entry for question, entry in distinct.items() if question not in kept}
        rest = dict(itertools.islice(rest.items(), num_problems))
        rule = rule_for(entry["answer"] for entry in rest.values()) if extract == "auto" else extract

        def problems(entries: dict[str, Any], spec: Spec = spec, rule: str = rule) -> list[Record]:
            return [
                Record(question + instruction, Gold(spec, rule, entry), solution=str(entry["answer"]))
                for question, entry in entries.items()
            ]

        training.append(problems(rest))
        held_out.append(problems(kept))
    return list(_in_turn(training)), list(_in_turn(held_out))


def constant_pass_rate(training: Sequence[Record], held_out: Sequence[Record]) -> float:
    """Share of held-out problems whose answer is their task's most frequent one in training: needs no reading."""
    counts = collections.Counter((record.gold.spec, str(record.gold)) for record in training)
    best: dict[Spec, str] = {}
    for (spec, answer), _ in counts.most_common():
        best.setdefault(spec, answer)
    return sum(best[record.gold.spec] == str(record.gold) for record in held_out) / len(held_out)


def _distinct(spec: Spec, seed: int, count: int) -> dict[str, dict[str, Any]]:
    """Up to so many problems of a seed, no question twice."""
    dataset = spec.dataset(seed, _TRIES * count)
    found: dict[str, dict[str, Any]] = {}
    for number in range(_TRIES * count):
        entry = dataset[number]
        found.setdefault(entry["question"], entry)
        if len(found) == count:
            break
    return found


def _in_turn(lists: Sequence[list[Record]]) -> Iterator[Record]:
    """One of each list, then the second of each, and so on; a list that ends leaves the others."""
    for row in itertools.zip_longest(*lists):
        yield from (problem for problem in row if problem is not None)
