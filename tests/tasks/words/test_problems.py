"""Problems say what their answers are, and no training problem is held out; the teacher errs at its rates."""

import collections
import dataclasses
import re

import jax
import numpy as np
import pytest

from maxrl_jax.tasks import words
from maxrl_jax.tasks.words import arrays, problems, relations, teacher, vocabulary
from tests.tasks.words import plain

RELATIONS = [relation for words_of_one in relations.BY_OPERATION.values() for relation in words_of_one]


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(0)
    return [problems.sample(rng, held_out=held_out) for held_out in [False] * 3000 + [True] * 300]


def test_the_vocabulary_has_128_words_and_texts_come_back():
    assert words.SIZE == len(set(vocabulary.WORDS)) == 128
    rng = np.random.default_rng(0)
    for _ in range(500):
        tokens = rng.integers(0, words.SIZE, 20).tolist()
        assert words.encode(words.decode(tokens)) == tokens
    assert words.decode(words.encode(" so 1 2 \\boxed{ 3 } ")) == "so 12 \\boxed{3}"
    for text, word in (("ada owns 3", "owns"), ("ada + 3", "+"), ("Ada", "A"), ("<unk>", "<unk>")):
        with pytest.raises(ValueError, match=re.escape(f"got {word!r}, allowed: the 128 words")):
            words.encode(text)


def test_the_text_of_a_problem_leads_to_its_answer_through_numbers_of_1_to_50(many):
    for problem in many:
        values = plain.solve(problem.text)
        assert values[-1] == problem.answer
        assert len(values) == len(problem.steps) + 1 == len(set(problem.people))
        assert all(1 <= value <= 50 and value == int(value) for value in values)
    assert {len(problem.steps) for problem in many} == {2, 3, 4}
    assert {problem.answer for problem in many} == set(range(1, 51))
    seen = {relation.word for problem in many for relation, _ in problem.steps}
    assert seen == set(vocabulary.RELATIONS) == set(plain.MEANINGS)


def test_words_of_an_operation_come_at_their_frequencies(many):
    words_seen = collections.Counter(relation for problem in many for relation, _ in problem.steps)
    for same in relations.BY_OPERATION.values():
        total = sum(words_seen[relation] for relation in same)
        for relation, frequency in zip(same, (0.4, 0.3, 0.2, 0.1), strict=True):
            deviation = (frequency * (1 - frequency) / total) ** 0.5
            assert abs(words_seen[relation] / total - frequency) < 4 * deviation


@pytest.mark.parametrize(("kind", "steps", "places"), [("rare", {2, 3, 4}, {2, 3}), ("long", {5, 6}, {0, 1, 2, 3})])
def test_harder_kinds_differ_as_their_names_say_and_fit_exactly(kind, steps, places):
    asked = words.held_out_set(0, 300, kind)
    texts = [words.decode(row[:length]) for row, length in zip(asked.tokens, asked.lengths, strict=True)]
    assert {len(plain.solve(text)) - 1 for text in texts} == steps
    assert [plain.solve(text)[-1] for text in texts] == asked.state.tolist()
    order = {relation.word: i for same in relations.BY_OPERATION.values() for i, relation in enumerate(same)}
    assert {order[word] for text in texts for word in text.split() if word in order} == places
    answers = asked.solutions
    assert [words.decode(row).count("}") for row in answers] == [1] * 300
    for used, room in ((asked.lengths, asked.tokens.shape[1]), ((answers != words.PAD).sum(1), answers.shape[1])):
        assert room - 2 <= used.max() <= room


def test_problems_are_told_apart_by_content(many):
    training = {problem.content for problem in many if not problem.held_out}
    held_out = {problem.content for problem in many if problem.held_out}
    assert len(held_out) > 290
    assert not training & held_out
    for problem in many[-200:]:
        renamed = dataclasses.replace(problem, people=problem.people[::-1], thing="vans")
        assert renamed.text != problem.text
        assert (renamed.content, renamed.held_out) == (problem.content, True)
    assert [problem.held_out for problem in many] == [False] * 3000 + [True] * 300
    rng = np.random.default_rng(2)
    listed = problems.distinct(rng, 400, held_out=False)
    assert len({problem.content for problem in listed}) == 400
    assert problems.distinct(np.random.default_rng(2), 100, held_out=False) == listed[:100]


def test_data_are_a_function_of_the_seed():
    first, again, other = (words.training_set(seed, 20) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.array_equal(first.tokens, other.tokens)
    assert not np.array_equal(first.tokens, words.held_out_set(0, 20).tokens)
    one, two = words.demonstrations(0, 20), words.demonstrations(0, 20)
    assert np.array_equal(one.solutions, two.solutions)
    assert not np.array_equal(one.solutions, words.demonstrations(1, 20).solutions)


def test_prompts_hold_the_questions_and_fit_exactly(many):
    prompts = arrays.prompts(many, answers=[teacher.solution(problem) for problem in many])
    rows = zip(many, prompts.tokens, prompts.lengths, prompts.state, strict=True)
    for problem, tokens, length, gold in rows:
        assert words.decode(tokens[:length]) == problem.text
        assert (tokens[length:] == words.PAD).all()
        assert gold == problem.answer
    assert prompts.lengths.max() == prompts.tokens.shape[1] == arrays.prompt_length()
    assert (prompts.solutions != words.PAD).sum(1).max() == prompts.solutions.shape[1] == arrays.answer_length()
    with pytest.raises(ValueError, match="length: got 2, allowed: at least 3, of the longest row"):
        vocabulary.pad([[4, 5, 6], [4]], 2)


def test_the_teacher_errs_at_the_rate_of_each_word():
    rng = np.random.default_rng(0)
    draws = 4000
    for relation in RELATIONS:
        readings = collections.Counter(teacher.read(rng, relation) for _ in range(draws))
        assert set(readings) == {relation.operation, relation.misread_as}
        deviation = (relation.rate * (1 - relation.rate) / draws) ** 0.5
        assert abs(readings[relation.operation] / draws - relation.rate) < 4 * deviation
    assert collections.Counter(relation.rate for relation in RELATIONS) == dict.fromkeys((0.9, 0.6, 0.3, 0.1), 4)


def test_demonstrations_are_sound_chains_half_of_the_time(many):
    rng = np.random.default_rng(0)
    chains = right = 0
    for problem in many:
        text = teacher.demonstrate(rng, problem)
        *chain, last = re.split(r" ?so ", text)
        value = int(re.fullmatch(r"\\boxed\{(\d+)\}", last)[1])
        right += value == problem.answer
        if chain[0]:
            chains += 1
            who, start, rest = re.fullmatch(r"(\w+) (\d+) (.*)", chain[0]).groups()
            values = [int(start)]
            for name, operation, number, result in re.findall(r"(\w+) (\w+) ?(\d*) makes (\d+)", rest):
                assert relations.apply(operation, values[-1], int(number or 0)) == int(result)
                values.append(int(result))
                who += " " + name
            assert who == " ".join(problem.people)
            assert (values[0], values[-1]) == (problem.start, value)
    assert abs(chains / len(many) - 0.5) < 0.04
    # Imitated by a model whose answers without a chain are wrong, that is a pass rate of 0.05 to 0.25.
    assert 0.1 < right / len(many) < 0.5


def test_a_problem_whose_numbers_leave_the_range_has_no_answer():
    twice = next(relation for relation in RELATIONS if relation.word == "twice")
    with pytest.raises(ValueError, match=r"got 0 twice 30, allowed: results of 1 \.\. 50"):
        _ = problems.Problem(30, ((twice, 0),), ("ada", "ben"), "cups").answer
