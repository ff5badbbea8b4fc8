r"""Demonstrations by a teacher that misreads relations, each word at its own rate.

    ada 12 ben plus 3 makes 15 cal doubled makes 30 so \boxed{30}

Half of them skip the chain and go straight to ``so \boxed{30}``.
"""

import numpy as np

from maxrl_jax.tasks.words import relations
from maxrl_jax.tasks.words.problems import Problem
from maxrl_jax.tasks.words.relations import Relation
from maxrl_jax.tasks.words.vocabulary import SAME

CHAIN_SHARE = 0.5  # of the demonstrations that show their steps


def demonstrate(rng: np.random.Generator, problem: Problem) -> str:
    """An answer as the teacher gives it, right or wrong."""
    readings = [read(rng, relation) for relation, _ in problem.steps]
    return solve(problem, readings, chain=rng.random() < CHAIN_SHARE)


def read(rng: np.random.Generator, relation: Relation) -> str:
    """The operation the teacher takes a relation for."""
    return relation.operation if rng.random() < relation.rate else relation.misread_as


def solution(problem: Problem) -> str:
    """The right chain."""
    return solve(problem, [relation.operation for relation, _ in problem.steps], chain=True)


def solve(problem: Problem, readings: list[str], *, chain: bool) -> str:
    """The answer that some reading of each relation leads to.

    A reading that leads to no number of the problems (a half of 7) is given up: the person has the same.
    """
    value = problem.start
    told = [f"{problem.people[0]} {value}"]
    for operation, (_, number), who in zip(readings, problem.steps, problem.people[1:], strict=True):
        result = relations.apply(operation, value, number)
        if result is None:
            operation, result = SAME, value
        value = result
        amount = f" {number}" if operation in (relations.ADD, relations.SUBTRACT) else ""
        told.append(f"{who} {operation}{amount} makes {value}")
    return " ".join([*(told if chain else ()), f"so \\boxed{{{value}}}"])
