"""Mazes have the distribution of randomised Prim.

Every test has a fixed seed and a false-alarm rate of 1e-4, for a generator that is right and a seed not chosen by
its result. Wrong rules, written in the same plain Python, are rejected with p < 1e-10 by the same statistics.
"""

import collections
import random

import jax
import numpy as np
import pytest
from scipy import stats

from maxrl_jax.tasks import maze
from tests.tasks.maze import plain

FALSE_ALARM = 1e-4
CAUGHT = 1e-10


@pytest.fixture(scope="module")
def law():
    """The exact probability of each of the 192 mazes, by its walls."""
    return {b"".join(map(bytes, plain.walls_of(gates, 7))): float(mass) for gates, mass in plain.prim_law(7).items()}


def two_sample(first, second):
    """p-value of the chi-square test that two samples come from one distribution, rare outcomes pooled."""
    counts = collections.Counter(first), collections.Counter(second)
    outcomes = sorted(set(counts[0]) | set(counts[1]))
    table = np.array([[count[outcome] for outcome in outcomes] for count in counts])
    share = table.sum(axis=1).min() / table.sum()
    rare = table.sum(axis=0) * share < 10
    pooled = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    return stats.chi2_contingency(pooled[:, pooled.sum(axis=0) > 0]).pvalue


def ours(num_mazes, size, seed):
    return np.asarray(maze.generate(jax.random.key(seed), num_mazes, size).walls)


def test_all_192_small_mazes_as_often_as_the_exact_law_says(law):
    assert len(law) == 192
    assert sum(law.values()) == pytest.approx(1)
    counts = collections.Counter(one.tobytes() for one in ours(400_000, 7, seed=3))
    expected = np.array(list(law.values())) * 400_000
    assert expected.min() > 10
    assert stats.chisquare([counts[walls] for walls in law], expected).pvalue > FALSE_ALARM


def shape(walls):
    """Solution length and number of dead ends of each maze."""
    walls = np.asarray(walls, bool)
    padded = np.stack([np.roll(walls, shift, axis) for shift in (1, -1) for axis in (1, 2)])
    dead_ends = (padded.sum(axis=0) == 3)[:, 1::2, 1::2].sum(axis=(1, 2))
    return [len(plain.shortest_path(one)[0]) for one in walls.tolist()], dead_ends.tolist()


def test_lengths_and_dead_ends_of_larger_mazes():
    size, num_plain = 17, 1_000
    lengths, dead_ends = shape(ours(2 * num_plain, size, seed=4))
    rng = random.Random(5)
    plain_lengths, plain_dead_ends = shape([plain.prim(size, rng) for _ in range(num_plain)])
    assert two_sample(lengths, plain_lengths) > FALSE_ALARM
    assert two_sample(dead_ends, plain_dead_ends) > FALSE_ALARM
    for rule in ("last", "edges"):
        wrong_lengths, wrong_dead_ends = shape([plain.prim(size, rng, rule) for _ in range(num_plain)])
        p = two_sample(lengths, wrong_lengths), two_sample(dead_ends, wrong_dead_ends)
        assert min(p) < CAUGHT, (rule, p)
