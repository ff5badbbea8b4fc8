"""Runs whose answers are judged while others are drawn: by Math-Verify, and by workers that hang and die."""

import json

import pytest

from experiments.lm.__main__ import check, run
from maxrl_jax.tasks.mathematics import grading
from tests.experiments.lm.small import lines, mathematics

pytest.importorskip("math_verify")

NAMES = [f"answers_{name}" for name in ("right", "wrong", "no_answer", "cut", "unreadable_gold", "error")]
NAMES += ["answers_time_out", "answers_died"]


def counts(folder):
    """The number of answers up to the last step by the reason of their verdict."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    last = [record for record in records if "perf/judge_seconds" in record][-1]
    return {name: last[f"perf/{name}"] for name in NAMES}


@pytest.mark.slow
def test_math_verify_grades_a_run_in_segments(tmp_path):
    """One-digit answers of 24 random bytes: about one in twenty is right."""
    problems = [{"prompt": f"{n} + 1?", "answer": str(n + 1)} for n in range(8)]
    chosen = {
        "data.max_answer_length": 24,
        "rl.steps": 3,
        "rl.num_rollouts": 16,
        "rl.decode_segments": (4, 12),
        "eval.every_steps": 2,
        "verifier.grade": "math-verify",
    }
    config = mathematics(tmp_path, **chosen)
    for name in ("train", "eval"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(problem) + "\n" for problem in problems))
    check(config)
    run(config, tmp_path / "run")
    train = lines(tmp_path / "run", "train/")
    assert [record["step"] for record in train] == [0, 1, 2]
    for record in train:
        failed = sum(value for name, value in record.items() if name.startswith("train/fail_"))
        assert failed + record["train/reward_mean"] == pytest.approx(1, abs=1e-5)
    evaluated = lines(tmp_path / "run", "eval/")
    assert [record["step"] for record in evaluated] == [0, 2, 3]
    assert all(len(record["eval/solved"]) == 5 and record["eval/pass@4"] >= 0 for record in evaluated)
    found = counts(tmp_path / "run")
    # Three steps, and the evaluations before the first and the third.
    assert sum(found.values()) == 3 * 8 * 16 + 2 * 5 * 4
    assert found["answers_right"] > 0 and found["answers_wrong"] > 0 and found["answers_no_answer"] > 0
    assert found["answers_unreadable_gold"] == found["answers_died"] == 0
    assert lines(tmp_path / "run", "final/")[-1]["final/params_sha256"]


def test_an_answer_that_hangs_and_one_that_kills_its_workers_cost_themselves(tmp_path, monkeypatch):
    monkeypatch.setenv("TROUBLE", str(tmp_path))
    chosen = {
        "verifier.grade": "tests.experiments.lm.letters:letter_with_trouble",
        "verifier.seconds": 6.0,
        "rl.decode_segments": (1, 3),
    }
    config = mathematics(tmp_path, **chosen)
    check(config)
    run(config, tmp_path / "run")
    found = counts(tmp_path / "run")
    # The same answer may be drawn again, and dies again; each one is judged twice.
    assert found["answers_time_out"] == 1 and found["answers_died"] >= 1
    assert len((tmp_path / "kills").read_text()) == 2 * found["answers_died"]
    # Two steps, and the evaluation before the first.
    others = 2 * 8 * 4 + 4 * 4 - 1 - found["answers_died"]
    assert found["answers_right"] + found["answers_wrong"] == others
    assert [record["step"] for record in lines(tmp_path / "run", "train/")] == [0, 1]
    assert "eval/pass@4" in lines(tmp_path / "run", "eval/")[-1]
    assert lines(tmp_path / "run", "final/")[-1]["final/params_sha256"]
    assert len(NAMES) == len(grading.REASONS)
