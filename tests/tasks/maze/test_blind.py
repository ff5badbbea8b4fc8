"""The blind walker's closed form: counted ways, estimated shares, and a walker that is judged."""

import itertools

import jax
import numpy as np
import pytest

from maxrl_jax.tasks.maze import blind, generator, tokens, verifier

MEASURED = {9: (0.950, 20, 0.048, 0.766), 11: (0.914, 70, 0.013, 0.337), 13: (0.871, 252, 0.0035, 0.104)}
"""Of 10,000 mazes of a size: share with a monotone solution, ways, pass@1, pass@32 of a simulated walker."""


@pytest.mark.parametrize("size", MEASURED)
def test_shares_ways_and_rates_are_those_of_a_simulation(size):
    share, ways, *rates = MEASURED[size]
    found = blind.share(size, 4_000)
    assert blind.ways(size) == ways and found == pytest.approx(share, abs=0.015)
    np.testing.assert_allclose(blind.pass_at_k(found, size, [1, 32]), rates, rtol=0.04)


def test_the_judge_counts_what_the_closed_form_says():
    size, moves = 7, 4
    walls = generator.generate(jax.random.key(1), 64, size).walls
    turns = [
        turn for turn in itertools.product((tokens.RIGHT, tokens.DOWN), repeat=moves) if turn.count(tokens.DOWN) == 2
    ]
    ways = np.repeat(turns, 2, axis=1)  # a cell is two squares from the next
    answers = np.concatenate([ways, np.full((len(ways), 1), tokens.DONE)], axis=1)
    right = np.asarray(verifier.verify(walls, np.broadcast_to(answers, (64, *answers.shape))))
    assert len(ways) == blind.ways(size) == 6 and set(right.sum(axis=1)) == {0.0, 1.0}
    share = blind.is_monotone(generator.generate(jax.random.key(1), 64, size).num_moves, size).mean()
    assert right.mean() == pytest.approx(blind.pass_at_k(share, size, 1))
