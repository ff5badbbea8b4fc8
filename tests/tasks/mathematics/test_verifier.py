"""Rewards are Math-Verify's, and an answer that hangs or kills its worker costs itself."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("math_verify")
pytest.importorskip("pebble")

from math_verify.metric import math_metric
from math_verify.parser import ExprExtractionConfig, LatexExtractionConfig

from maxrl_jax.tasks import mathematics
from maxrl_jax.tasks.mathematics import grading, verifier
from tests.tasks.mathematics import grades
from tests.tasks.mathematics.cases import CASES


@pytest.fixture(scope="module")
def pool():
    with mathematics.Verifier(workers=2, seconds_per_answer=5.0, grade=grades.grade) as pool:
        yield pool


@pytest.fixture(scope="module")
def math_verify_pool():
    with mathematics.Verifier(workers=1) as pool:
        yield pool


def names(verdicts):
    return [mathematics.REASONS[reason] for reason in verdicts.reasons]


def worker_ids(pool):
    return list(pool._pool._pool_manager.worker_manager.workers)


def test_rewards_of_the_table_are_those_of_math_verify():
    metric = math_metric(
        gold_extraction_target=(LatexExtractionConfig(),),
        pred_extraction_target=(ExprExtractionConfig(), LatexExtractionConfig()),
    )

    def alone(answer, gold):
        try:
            return metric([f"\\boxed{{{gold}}}"], [answer])[0]
        except ValueError:  # "No gold targets found"
            return 0.0

    answers, golds, expected = zip(*CASES, strict=True)
    assert len(CASES) >= 60
    rewards = mathematics.score(answers, golds)
    assert [type(reward) for reward in rewards] == [float] * len(CASES)
    assert rewards == [alone(*case[:2]) for case in CASES]
    assert rewards == list(expected)


def test_every_answer_is_counted_with_its_reason(math_verify_pool):
    before = math_verify_pool.counts.copy()
    verdicts = math_verify_pool.judge(["5", "6", "none", "5"], ["5", "5", "5", "}{"])
    assert names(verdicts) == ["right", "wrong", "no answer", "unreadable gold"]
    assert verdicts.rewards == [1.0, 0.0, 0.0, 0.0]
    math_verify_pool.judge(["5"], ["5"])
    assert math_verify_pool.counts - before == {"right": 2, "wrong": 1, "no answer": 1, "unreadable gold": 1}
    assert set(math_verify_pool.counts) == set(mathematics.REASONS)


def test_bad_answers_cost_themselves(pool):
    before = pool.counts.copy()
    answers = ["1", "hang", "1", "die", "1", "raise", "2", "leave", "1"]
    verdicts = pool.judge(answers, ["1"] * len(answers))
    assert names(verdicts) == [
        *("right", "time-out", "right", "died", "right", "error"),
        *("wrong", "died", "right"),
    ]
    assert verdicts.rewards == [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    counts = pool.counts - before
    assert counts == {"right": 4, "wrong": 1, "died": 2, "error": 1, "time-out": 1}


def test_a_death_that_does_not_come_again_costs_nothing(pool, tmp_path):
    before = pool.counts.copy()
    verdicts = pool.judge(["2", f"die once: {tmp_path / 'died'}", "die", "1"], ["1"] * 4)
    assert names(verdicts) == ["wrong", "right", "died", "right"]
    assert pool.counts - before == {"wrong": 1, "right": 2, "died": 1}


def test_a_hung_answer_costs_little_more_than_its_limit(pool):
    pool.judge(["1"], ["1"])
    start = time.monotonic()
    assert names(pool.judge(["hang"], ["1"])) == ["time-out"]
    assert 5 < time.monotonic() - start < 5 + 20 - verifier.SECONDS_PER_ANSWER
    assert pool.judge(["1"], ["1"]).rewards == [1.0]


def test_workers_killed_while_idle_cost_nothing(pool):
    pool.judge(["1"], ["1"])
    for worker in worker_ids(pool):
        os.kill(worker, signal.SIGKILL)
    assert pool.judge(["1", "2", "1"], ["1"] * 3).rewards == [1.0, 0.0, 1.0]


@pytest.mark.slow
def test_workers_that_are_stopped_cost_nothing(pool, monkeypatch):
    monkeypatch.setattr(verifier, "_SECONDS_TO_START", 15.0)
    pool.judge(["1"], ["1"])
    for worker in worker_ids(pool):
        os.kill(worker, signal.SIGSTOP)
    assert pool.judge(["1", "2", "1"], ["1"] * 3).rewards == [1.0, 0.0, 1.0]


def test_a_worker_killed_at_work_costs_one_answer_at_most(pool, monkeypatch):
    monkeypatch.setattr(verifier, "_SECONDS_TO_START", 15.0)  # waited for where it held the lock of the pool's pipe
    pending = pool.submit(["1"] * 3000, ["1"] * 3000)
    time.sleep(0.05)
    os.kill(worker_ids(pool)[0], signal.SIGKILL)
    assert sum(pending.result().rewards) >= 2999


def test_answers_submitted_in_two_parts_survive_a_broken_pool(pool):
    first, second = pool.submit(["1"] * 50, ["1"] * 50), pool.submit(["2", "1"] * 50, ["1"] * 100)
    pool._discard(pool._pool)
    assert second.result().rewards == [0.0, 1.0] * 50
    assert first.result().rewards == [1.0] * 50


@pytest.fixture
def own(tmp_path, monkeypatch):
    """``own(text) -> a grade`` of a module with this text and a function `judge`."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(text, name="own_grade"):
        (tmp_path / f"{name}.py").write_text(text + "\ndef judge(answer, gold):\n    return judged(answer, gold)\n")
        return grading.OwnGrade(f"{name}:judge")

    return make


def test_an_import_is_not_on_an_answers_time(own):
    grade = own("import time\ntime.sleep(3)\ndef judged(answer, gold):\n    return answer == gold")
    with mathematics.Verifier(workers=1, seconds_per_answer=1.5, grade=grade) as pool:
        pool.start()
        assert names(pool.judge(["5", "6", "5"], ["5"] * 3)) == ["right", "wrong", "right"]


@pytest.mark.parametrize(
    ("text", "said", "trace"),
    [
        ("1 / 0", r"cannot be imported \(ZeroDivisionError: division by zero\)", "1 / 0"),
        (
            "import no_such_package",
            r"cannot be imported \(ModuleNotFoundError: No module named 'no_such",
            "import no_such",
        ),
        ("raise SystemExit('no GPU')", r"cannot be imported \(SystemExit: no GPU\)", "raise SystemExit"),
        ("import time\ntime.sleep(600)", r"not imported after 8 s", None),
    ],
)
def test_a_module_that_does_not_import_is_one_line_at_the_start(own, monkeypatch, text, said, trace):
    if trace is None:
        monkeypatch.setattr(verifier, "_SECONDS_TO_IMPORT", 8.0)
    with (
        mathematics.Verifier(workers=1, grade=own(text, "wrong_grade")) as pool,
        pytest.raises(mathematics.VerifierError, match=said) as caught,
    ):
        pool.start()
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None if trace is None else trace in str(caught.value.__cause__)


def test_a_grade_that_raises_is_shown_once_and_stops_a_run_when_it_always_does(own, capsys):
    grade = own("def judged(answer, gold):\n    return [True][int(answer)]")
    with mathematics.Verifier(workers=1, grade=grade) as pool:
        assert names(pool.judge(["x", "0", "y", "1"], ["5"] * 4)) == ["error", "right", "error", "error"]
        said = capsys.readouterr().err
        assert said.count("the judge raised an exception") == 1 and "ValueError: invalid literal" in said
        assert "return [True][int(answer)]" in said
        pool.judge(["x"] * 8, ["5"] * 8)  # some were right before
    with mathematics.Verifier(workers=1, grade=grade) as pool:
        pool.judge(["x"], ["5"])
        with pytest.raises(
            mathematics.VerifierError, match=r"on each of the first 5 answers \(IndexError|ValueError"
        ) as caught:
            pool.judge(["x", "y", "2", "3"], ["5"] * 4)
        assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("answer", "gold", "reason"),
    [
        (r"\boxed{9^{9^{9^{9}}}}", "5", "time-out"),  # its comparison
        (r"\boxed{\binom{99999999}{3333333}}", "5", "time-out"),  # its reading
        ("5", r"\binom{99999999}{3333333}", "time-out"),  # its gold's reading
        (r"\boxed{9^{9^{9^{9}}}}", "9^{9^{9^{9}}}", "right"),
    ],
)
def test_math_verifys_own_limits_are_time_outs(math_verify_pool, answer, gold, reason):
    assert names(math_verify_pool.judge([answer], [gold])) == [reason]


def score_in(queue):
    try:
        queue.put(mathematics.score(["5"], ["5"]))
    except Exception as error:
        queue.put(f"{type(error).__name__}: {error}")


def test_a_daemonic_process_is_told_in_one_line():
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=score_in, args=(queue,), daemon=True)
    process.start()
    said = queue.get()
    process.join()
    assert said.startswith("VerifierError: ") and "daemonic process" in said and "\n" not in said


def test_one_gold_an_answer():
    with pytest.raises(ValueError, match="golds: got 1, allowed: one for each of the 2 answers"):
        mathematics.score(["1", "2"], ["1"])
    assert mathematics.score([], []) == []
    for wrong in ({"workers": 0}, {"seconds_per_answer": 0.0}):
        with pytest.raises(ValueError, match="got 0"):
            mathematics.Verifier(**wrong)


SCRIPT = """
from maxrl_jax.tasks import mathematics
def main():
    print(mathematics.score(["so \\\\boxed{5}", "6"], ["5", "5"]))
"""


@pytest.mark.parametrize(
    ("guard", "output"), [("if __name__ == '__main__':\n    main()", "[1.0, 0.0]\n"), ("main()", "")]
)
def test_a_script_guards_its_main_or_is_told_to(tmp_path, guard, output):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT + guard)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout == output
    assert done.returncode == (0 if output else 1)
    assert output or "needs its code under `if __name__ == '__main__':`" in done.stderr
