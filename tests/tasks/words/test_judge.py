"""The judge on the device agrees with a plain one, and with Math-Verify on the decoded text."""

import collections
import logging
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax.tasks import words
from maxrl_jax.tasks.words import arrays, teacher, vocabulary
from maxrl_jax.tasks.words.problems import sample
from tests.tasks.words import plain

LENGTH = 24
judge, verify = jax.jit(words.judge), jax.jit(words.verify)
WORD = range(14, words.SIZE)


def random_answer(rng, gold):
    """Answers right and wrong, with and without a box, damaged, and arbitrary tokens."""

    def number():
        return vocabulary.encode(
            rng.choice([str(gold), f"0{gold}", str(rng.randrange(60)), str(rng.randrange(10**12))])
        )

    def some(most):
        pieces = [number() if rng.random() < 0.4 else [rng.choice(WORD)] for _ in range(rng.randrange(most + 1))]
        return [token for piece in pieces for token in piece]

    box = [vocabulary.BOX]
    inside = rng.choice(
        [number(), number(), number(), [], some(2), some(2), some(3), [*box, *number()], [*number(), *box]]
    )
    end = rng.choice([*[[vocabulary.END_BOX]] * 5, [], [vocabulary.EOS], [vocabulary.PAD]])
    answer = rng.choice([some(3) + box + inside + end] * 3 + [some(4) + end])
    if rng.random() < 0.2:
        answer = rng.choices(range(words.SIZE), k=6) if rng.random() < 0.3 else rng.sample(answer, len(answer))
    if rng.random() < 0.2 and answer:
        answer[rng.randrange(len(answer))] = rng.choice([2, 3, 4, 9, 30, 0, 1])
    after = [vocabulary.PAD] if rng.random() < 0.5 else rng.choices(range(words.SIZE), k=3)
    return (answer + after + [vocabulary.PAD] * LENGTH)[:LENGTH]


def many(num_golds, num_answers):
    rng = random.Random(0)
    golds = [rng.randrange(1, 51) for _ in range(num_golds)]
    return golds, [[random_answer(rng, gold) for _ in range(num_answers)] for gold in golds]


def test_thousands_of_answers_agree_with_the_plain_judge():
    golds, answers = many(100, 100)
    expected = [[plain.judge(answer, gold) for answer in row] for gold, row in zip(golds, answers, strict=True)]
    counts = collections.Counter(reason for row in expected for reason in row)
    assert set(counts) == set(words.REASONS)
    assert min(counts.values()) >= 300, counts
    got = judge(jnp.array(golds), jnp.array(answers))
    assert [[words.REASONS[reason] for reason in row] for row in got.reason.tolist()] == expected
    rewards = verify(jnp.array(golds), jnp.array(answers))
    assert rewards.dtype == jnp.float32
    assert rewards.tolist() == [[float(reason == "right") for reason in row] for row in expected]


@pytest.fixture
def math_verify():
    """The reward of a text."""
    pytest.importorskip("math_verify")
    from maxrl_jax.tasks.mathematics import grading

    logger = logging.getLogger("math_verify")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield lambda text, gold: float(grading.grade(text, str(gold)) == grading.RIGHT)
    logger.setLevel(level)


def test_rewards_are_those_of_math_verify_on_the_text(math_verify):
    golds, answers = many(50, 40)
    rewards = verify(jnp.array(golds), jnp.array(answers)).tolist()
    total = 0.0
    for gold, row, row_rewards in zip(golds, answers, rewards, strict=True):
        for answer, reward in zip(row, row_rewards, strict=True):
            assert reward == math_verify(words.decode_answer(answer), gold), (words.decode_answer(answer), gold)
            total += reward
    assert 300 < total < 1700


def test_no_word_is_read_as_part_of_a_number_or_hidden_from_the_parser(math_verify):
    for word in vocabulary.WORDS[14:]:
        texts = [f"7 \\boxed{{{word}}}", f"\\boxed{{7 {word}}}", f"\\boxed{{{word} 7}}", f"{word} 7 {word}"]
        answers, _ = vocabulary.pad([vocabulary.encode(text) for text in texts], LENGTH)
        rewards = verify(jnp.array([7]), jnp.array(answers)[None]).tolist()[0]
        assert rewards == [0.0, 0.0, 0.0, 1.0] == [math_verify(text, 7) for text in texts], word


@pytest.mark.parametrize(
    ("text", "reason", "number"),
    [
        ("so \\boxed{15}", "right", 15),
        ("so \\boxed{015}", "right", 15),
        ("\\boxed{15 \\boxed{51}", "wrong", 51),
        ("\\boxed{15 ada}", "not a number", -1),
        ("15 \\boxed{}", "right", 15),
        ("\\boxed{15", "no number", -1),
        ("\\boxed{ada 15", "right", 15),
        ("15} 51", "right", 15),
        ("\\boxed{51} so \\boxed{15}", "wrong", 51),
        ("15 <pad> 51", "right", 15),
        ("", "no number", -1),
        ("\\boxed{00000000000000000015}", "right", 15),
        ("\\boxed{100000015}", "wrong", 10**8),
        ("\\boxed{429496731115}", "wrong", 10**8),  # 15 modulo 2^32 and modulo 100
    ],
)
def test_single_rules(text, reason, number):
    tokens = (vocabulary.encode(text) + [0] * LENGTH)[:LENGTH]
    verdict = judge(jnp.array([15]), jnp.array([[tokens]]))
    assert (words.REASONS[verdict.reason[0, 0]], verdict.number[0, 0]) == (reason, number)
    assert plain.judge(tokens, 15) == reason


def test_right_chains_are_right():
    rng = np.random.default_rng(0)
    chosen = [sample(rng, held_out=False) for _ in range(200)]
    rows = [vocabulary.encode(teacher.solution(problem)) for problem in chosen]
    tokens, _ = vocabulary.pad(rows, arrays.answer_length())
    golds = jnp.array([problem.answer for problem in chosen])
    assert verify(golds, tokens[:, None]).tolist() == [[1.0]] * 200
    assert verify(golds % 50 + 1, tokens[:, None]).tolist() == [[0.0]] * 200


def test_shapes_and_dtypes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"got shapes \(2,\), \(1, 1, 3\), allowed: \[P\], \[P, N, T\]"):
        words.verify(jnp.zeros(2, jnp.int32), jnp.zeros((1, 1, 3), jnp.int32))
    with pytest.raises(ValueError, match="got dtype float32, allowed: an integer"):
        words.verify(jnp.zeros(1, jnp.int32), jnp.zeros((1, 1, 3)))
