"""Rewards of answers to mathematical questions, by Math-Verify in a pool of processes.

Symbolic comparison may take for ever, and may take its process down. So every answer is judged in a worker: one that
takes too long is killed, one that dies is replaced, and either costs its own answer, which counts 0. A death may be
nothing that the answer did (memory that others took), so it is judged a second time. Nothing an answer does raises an
exception here; what became of each one is counted.
"""

import collections
import concurrent.futures
import functools
import importlib.util
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

from maxrl_jax.runs.folder.stopping import Failed
from maxrl_jax.tasks.mathematics import grading

SECONDS_PER_ANSWER = 12.0  # Math-Verify's own limits: 5 to read an answer, 2 to print it, 5 to compare it
_SECONDS_TO_START = 60.0  # of a worker on a busy machine
_SECONDS_TO_IMPORT = 120.0  # of its first worker, with what it judges with
_MAX_WORKERS = 16
_ALL_FAIL = 4  # answers; when each one so far made the judge raise an exception, it is the judge's fault


class VerifierError(Failed):
    """The workers cannot be started, or what they judge with fails on every answer: no single answer's fault."""


class Verdicts(NamedTuple):
    """The outcome of each answer, in the order they were given.

    Attributes:
        rewards: 1.0 where Math-Verify finds the gold in the answer, else 0.0; of another judge, its own.
        reasons: indices into ``REASONS``.
    """

    rewards: list[float]
    reasons: list[int]


class Verifier:
    """A pool of workers; a context manager.

        with Verifier() as verifier:
            verdicts = verifier.judge(answers, golds)
            verifier.counts["time-out"]

    Attributes:
        counts: how many answers ended in each of ``REASONS`` since the start.
    """

    def __init__(
        self,
        workers: int | None = None,
        seconds_per_answer: float = SECONDS_PER_ANSWER,
        grade: Callable[[str, str], int] = grading.grade,
    ):
        """Starts no process; the first answers do.

        Args:
            workers: processes, by default one a core up to 16.
            seconds_per_answer: after which a worker is killed and the answer counts 0.
            grade: judges (answer, gold) in a worker, as ``grading.grade`` does, or returns (index, reward); a function
                of a module, or an object with ``load``, such as an ``OwnGrade``.

        Raises:
            ValueError: a number of workers or seconds that is not positive.
            ImportError: Math-Verify or Pebble is not installed.
        """
        if workers is not None and workers < 1:
            raise ValueError(f"workers: got {workers}, allowed: a positive integer or None")
        if seconds_per_answer <= 0:
            raise ValueError(f"seconds_per_answer: got {seconds_per_answer}, allowed: a positive number")
        for package in ("math_verify", "pebble"):
            if importlib.util.find_spec(package) is None:
                raise ImportError(f"{package} is not installed: pip install 'maxrl-jax[llm]'")
        self.counts = collections.Counter(dict.fromkeys(grading.REASONS, 0))
        self._workers = workers or min(os.cpu_count() or 1, _MAX_WORKERS)
        self._seconds = seconds_per_answer
        self._grade = grade
        self._pool: Any = None
        self._has_judged = False
        self._error: BaseException | None = None  # the first one that the judge raised

    def __enter__(self) -> "Verifier":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Starts the workers, and waits until one of them has imported what it judges with.

        Raises:
            VerifierError: it fails or takes too long.
        """
        pool = self._running()
        try:
            failure = pool.schedule(grading.failure).result(timeout=_SECONDS_TO_IMPORT)
        except (concurrent.futures.TimeoutError, BrokenProcessPool, RuntimeError):
            self.close()
            raise VerifierError(
                f"what answers are judged with is not imported after {_SECONDS_TO_IMPORT:g} s"
            ) from None
        if failure:
            self.close()
            said = failure.strip().splitlines()[-1]
            cause = ImportError(f"in a worker\n{failure}")
            raise VerifierError(f"what answers are judged with cannot be imported ({said})") from cause

    def judge(self, answers: Sequence[str], golds: Sequence[str]) -> Verdicts:
        """Judges answers against golds, one each; waits for all of them.

        Raises:
            ValueError: not as many golds as answers.
            VerifierError: the workers do not start.
        """
        return self.submit(answers, golds).result()

    def submit(self, answers: Sequence[str], golds: Sequence[str]) -> "Pending":
        """As ``judge``, without waiting: ``.result()`` does, so that answers are judged while others are drawn."""
        if len(answers) != len(golds):
            raise ValueError(f"golds: got {len(golds)}, allowed: one for each of the {len(answers)} answers")
        return Pending(self, list(zip(answers, golds, strict=True)))

    def close(self) -> None:
        """Ends the workers; the next answers, or those on their way if they are waited for, start others."""
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None

    def _running(self) -> Any:
        """The pool; a new one where there is none."""
        if self._pool is None:
            from pebble import ProcessPool

            if multiprocessing.current_process().daemon:
                raise VerifierError(
                    "the workers that verify answers cannot be started in a daemonic process, such as a worker of "
                    "multiprocessing.Pool or of a data loader; verify answers in the process that started it"
                )
            # A fork of a process that runs JAX may deadlock: workers start afresh.
            context = multiprocessing.get_context("spawn")
            own = None if self._grade is grading.grade else self._grade
            self._pool = ProcessPool(self._workers, initializer=grading.prepare, initargs=(own,), context=context)
        return self._pool

    def _schedule(self, pairs: Sequence[tuple[str, str]]) -> tuple[Any, list[concurrent.futures.Future]]:
        """One future an answer, and the pool they belong to."""
        pool = self._running()
        try:
            return pool, [pool.schedule(self._grade, args=pair, timeout=self._seconds) for pair in pairs]
        except RuntimeError:  # the pool broke in the meantime
            broken: concurrent.futures.Future = concurrent.futures.Future()
            broken.set_exception(BrokenProcessPool())
            return pool, [broken] * len(pairs)

    def _outcome(self, future: concurrent.futures.Future, pool: Any) -> int | None:
        """The outcome of one answer; None where the pool it waits for is broken or closed."""
        from pebble import ProcessExpired

        if pool is not self._pool and not future.done():
            return None
        try:
            # The oldest answer is at work or the next one to be: longer than this, and no worker lives.
            return future.result(timeout=self._seconds + _SECONDS_TO_START)
        except concurrent.futures.TimeoutError:
            return grading.TIMED_OUT if future.done() else None
        except ProcessExpired:
            return grading.DIED
        except (BrokenProcessPool, concurrent.futures.CancelledError):
            return None
        except Exception as error:  # of a judge that lets one through, or in sending an answer
            if self._error is None:
                self._error = error
                shown = error.__cause__ or "".join(traceback.format_exception(error))  # the worker's own traceback
                print(f"the judge raised an exception, the first one; such answers count 0:\n{shown}", file=sys.stderr)
            return grading.ERROR

    def _count(self, reasons: Sequence[int]) -> None:
        """Counts what became of answers; VerifierError where the judge has failed on all there were."""
        self.counts.update(grading.REASONS[reason] for reason in reasons)
        failed = self.counts["error"]
        if self._error is not None and _ALL_FAIL <= failed == sum(self.counts.values()) - self.counts["cut"]:
            said = f"{type(self._error).__name__}: {' '.join(str(self._error).split())}"
            cause = self._error.__cause__ or self._error
            raise VerifierError(
                f"the judge raised an exception on each of the first {failed} answers ({said})"
            ) from cause

    def _discard(self, pool: Any) -> None:
        """Closes a broken pool; the next answers start another one."""
        if pool is self._pool:
            self.close()


class Pending:
    """Answers on their way; ``result()`` waits for them."""

    def __init__(self, verifier: Verifier, pairs: list[tuple[str, str]]):
        self._verifier, self._pairs = verifier, pairs
        self._pool, self._futures = verifier._schedule(pairs) if pairs else (None, [])

    def result(self) -> Verdicts:
        """The verdicts, once."""
        reasons = self._reasons()
        died = [place for place, reason in enumerate(reasons) if reason == grading.DIED]
        # After all others: an answer that kills its workers delays none of them twice.
        for place, reason in zip(died, Pending(self._verifier, [self._pairs[i] for i in died])._reasons(), strict=True):
            reasons[place] = reason
        graded = [found if isinstance(found, tuple) else (found, float(found == grading.RIGHT)) for found in reasons]
        rewards, reasons = [reward for _, reward in graded], [reason for reason, _ in graded]
        self._verifier._count(reasons)
        return Verdicts(rewards, reasons)

    def _reasons(self) -> list[int]:
        """Waits for each answer. A pool that breaks (a worker killed while idle) is replaced, once for an answer."""
        reasons: list[int] = []
        broken_at = None
        while len(reasons) < len(self._pairs):
            place = len(reasons)
            reason = self._verifier._outcome(self._futures[place], self._pool)
            if reason is None and broken_at == place:
                if not self._verifier._has_judged:
                    raise VerifierError(
                        "the workers that verify answers do not start; a script that calls this needs "
                        "its code under `if __name__ == '__main__':`"
                    )
                reason = grading.DIED
            if reason is not None:
                self._verifier._has_judged = True
                reasons.append(reason)
                continue
            broken_at = place
            self._verifier._discard(self._pool)
            self._pool, rest = self._verifier._schedule(self._pairs[place:])
            self._futures[place:] = rest
        return reasons


def score(answers: Sequence[str], golds: Sequence[str]) -> list[float]:
    r"""Rewards of answers, 0.0 or 1.0, in order: Math-Verify's with the gold in a box.

    Equal to ``math_metric(gold_extraction_target=(LatexExtractionConfig(),),
    pred_extraction_target=(ExprExtractionConfig(), LatexExtractionConfig()))`` on ``\boxed{gold}``. An answer that
    raises, hangs or kills its worker and a gold that cannot be read give 0.0. The workers stay for the next call;
    a driver that wants their counts keeps a ``Verifier``.

    Args:
        answers: texts of answers.
        golds: the right answer to each, without its box.

    Raises:
        ValueError: not as many golds as answers.
        ImportError: the extra ``llm`` is not installed.
        VerifierError: the workers do not start, as in a script whose main is not guarded.
    """
    return _shared().judge(answers, golds).rewards


@functools.cache
def _shared() -> Verifier:
    return Verifier()
