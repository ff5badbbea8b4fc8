"""Verdicts on answers as they finish are those on the whole batch."""

import numpy as np

from maxrl_jax.lm.judging import Judging, judged
from maxrl_jax.lm.task import Prompts, Task, Verdict

P, N, T = 3, 4, 5


def judge(state, answers):
    """Right is an answer that begins as its prompt says."""
    right = answers[..., 0] == state[:, None]
    return Verdict(
        right.astype(np.float32), np.where(right, 0, answers[..., 1]), {"short": right & (answers[..., 1] < 3)}
    )


def test_in_any_order_and_in_any_parts():
    generator = np.random.default_rng(0)
    state, tokens = np.arange(P), generator.integers(0, P, (P, N, T))
    task = Task("firsts", 9, T, lambda *_: None, judge, Prompts(tokens[:, 0]), judged_on_host=True)
    order, asked = generator.permutation(P * N), []

    def submit(state, answers):
        def result():
            asked.append(len(answers))
            return judge(state, answers)

        return result

    judging = Judging(submit, state, P, N)
    for part in (order[:1], order[1:8], order[8:]):
        prompts, numbers = np.divmod(part, N)
        judging.add(prompts, numbers, tokens[prompts, numbers, :2])
    assert asked == []
    found, whole = judging.verdict(), judged(task, state, tokens)
    assert asked == [1, 7, 4]
    for name in ("rewards", "reasons"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
        assert getattr(found, name).dtype == getattr(whole, name).dtype
    np.testing.assert_array_equal(found.measures["short"], whole.measures["short"])
    assert 0 < whole.rewards.mean() < 1 and whole.measures["short"].any()
