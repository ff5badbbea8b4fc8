"""A verifier and a data set of one's own, as they stand."""

from tests.examples.running import run


def test_a_verifier_of_ones_own(tmp_path):
    printed = run("own_verifier.py", folder=tmp_path).splitlines()
    assert [line.rpartition(": ")[2] for line in printed] == ["right", "right", "wrong", "wrong"]


def test_a_data_set_of_ones_own(tmp_path):
    printed = run("own_data.py", "sums.jsonl", folder=tmp_path)
    assert printed.startswith("100 problems in sums.jsonl")
    question, gold = printed.partition("prompt='")[2].split("', gold='")
    a, b = (int(word.strip("?")) for word in question.split() if word.strip("?").isdigit())
    assert gold.startswith(str(a + b)) and "boxed" in question
