"""Prompts as arrays, answers as rewards, and the last box."""

import dataclasses

import numpy as np
import pytest

from maxrl_jax.tasks import mathematics
from maxrl_jax.tasks.mathematics import Record
from tests.tasks.mathematics import folders


@pytest.fixture
def tokenizer(tmp_path):
    pytest.importorskip("tokenizers")
    pytest.importorskip("jinja2")
    return mathematics.Tokenizer.load(folders.write(tmp_path, template="{{ messages[0].content }}"))


def texts(tokenizer, rows, lengths):
    return [tokenizer.tokens.decode(row[:length].tolist()) for row, length in zip(rows, lengths, strict=True)]


def test_prompts_are_padded_and_long_ones_dropped_and_counted(tokenizer):
    records = [Record("a" * length, str(length)) for length in (3, 200, 100, 131, 130, 1)]
    prompts = mathematics.make_prompts(records, tokenizer, max_length=130)
    assert (len(prompts), prompts.dropped) == (4, 2)
    assert prompts.golds == ("3", "100", "130", "1")
    assert prompts.lengths.tolist() == [3, 100, 130, 1]
    assert prompts.tokens.shape == (4, 130)
    assert texts(tokenizer, *prompts.batch([0, 1, 2, 3])) == ["a" * length for length in prompts.lengths]
    for row, length in zip(prompts.tokens, prompts.lengths, strict=True):
        assert (row[length:] == tokenizer.pad).all()
        assert (row[:length] != tokenizer.pad).all()


def test_a_batch_is_cut_to_the_bucket_of_its_longest_prompt(tokenizer):
    prompts = mathematics.make_prompts([Record("a" * n, "") for n in (3, 64, 65, 128, 140)], tokenizer, max_length=150)
    for ids, width in (([0], 64), ([1, 0], 64), ([2], 128), ([0, 3], 128), ([4], 144)):
        tokens, lengths = prompts.batch(np.array(ids))
        assert tokens.shape == (len(ids), width)
        assert texts(tokenizer, tokens, lengths) == ["a" * (3, 64, 65, 128, 140)[place] for place in ids]
        assert tokens.dtype == lengths.dtype == np.int32


def test_a_limit_that_leaves_nothing_is_an_error(tokenizer):
    with pytest.raises(mathematics.InputError, match="prompt length limit: got 2 tokens, allowed: at least 3, of the"):
        mathematics.make_prompts([Record("aaa", ""), Record("aaaa", "")], tokenizer, max_length=2)
    with pytest.raises(ValueError, match="max_length: got 0, allowed: a positive integer"):
        mathematics.make_prompts([Record("aaa", "")], tokenizer, max_length=0)


@pytest.mark.parametrize("cut_is_wrong", [True, False])
def test_answers_are_judged_up_to_their_end(tokenizer, cut_is_wrong):
    pytest.importorskip("math_verify")
    pytest.importorskip("pebble")
    written = [["\\boxed{5}<|im_end|>6", "6<|im_end|>5"], ["cut at \\boxed{7}", "7<|im_end|>"]]
    rows = [[tokenizer.tokens.encode(text).ids for text in row] for row in written]
    answers = np.full((2, 2, 16), tokenizer.pad)
    for place, row in enumerate(rows):
        for number, answer in enumerate(row):
            answers[place, number, : len(answer)] = answer
    with mathematics.Verifier(workers=1) as verifier:
        rewards, reasons = mathematics.judge(tokenizer, verifier, ["5", "7"], answers, cut_is_wrong=cut_is_wrong)
        assert (rewards.dtype, reasons.dtype) == (np.float32, np.int32)
        assert rewards.tolist() == [[1, 0], [0 if cut_is_wrong else 1, 1]]
        names = [[mathematics.REASONS[reason] for reason in row] for row in reasons]
        assert names == [["right", "wrong"], ["cut" if cut_is_wrong else "right", "right"]]
        assert sum(verifier.counts.values()) == 4
        assert verifier.counts["cut"] == cut_is_wrong


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("\\boxed{5}", "5"),
        ("\\boxed{3} then \\boxed{ 5 } and 7", "5"),
        ("\\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("\\boxed{1} \\boxed{2", "1"),
        ("\\boxed{1 + \\boxed{2}}", "2"),
        ("\\boxed{}", ""),
        ("\\boxed{2", None),
        ("\\fbox{2}", None),
        ("", None),
    ],
)
def test_the_last_box(text, box):
    assert mathematics.last_box(text) == box


def test_tokens_that_the_model_lacks_are_named_with_their_problem(tmp_path):
    """The tokenizer has one token more than a model of 259: its embedding would be NaN."""
    pytest.importorskip("tokenizers")
    tokenizer = mathematics.Tokenizer.load(folders.made(tmp_path, "added by the config")[0])
    records = [Record("a", "", "data.jsonl:1"), Record("b", "", "data.jsonl:2")]
    mathematics.make_prompts(records, tokenizer, 50, vocabulary_size=260)
    message = r"the prompt of data.jsonl:1: got '<new>', token 259, allowed: tokens below 259, the model's vocab_size"
    with pytest.raises(mathematics.InputError, match=message):
        mathematics.make_prompts(records, tokenizer, 50, vocabulary_size=259)
    plain = mathematics.Tokenizer.load(folders.write(tmp_path / "plain", template="{{ messages[0].content }}"))
    with pytest.raises(mathematics.InputError, match=r"the prompt of data.jsonl:2: got .*, token 68, allowed"):
        mathematics.make_prompts(records, plain, 50, vocabulary_size=68)
    for change, place in (({"pad": 300}, "the pad token"), ({"eos": (2, 300)}, "the ends of text")):
        with pytest.raises(mathematics.InputError, match=rf"{place}: got .*, token 300, allowed: tokens below 259"):
            mathematics.make_prompts(records, dataclasses.replace(plain, **change), 50, vocabulary_size=259)


def test_prompts_that_two_sets_share_are_found_by_content(tokenizer):
    training = mathematics.make_prompts([Record(text, text) for text in ("aa", "b", "a", "c" * 70)], tokenizer, 100)
    held_out = mathematics.make_prompts([Record(text, "") for text in ("c" * 70, "a", "d")], tokenizer, 100)
    assert training.held_in(held_out).tolist() == [False, False, True, True]
    assert held_out.held_in(training).tolist() == [True, True, False]
    rest = training.at(~training.held_in(held_out))
    assert (rest.golds, rest.lengths.tolist(), rest.tokens.shape) == (("aa", "b"), [2, 1], (2, 72))
