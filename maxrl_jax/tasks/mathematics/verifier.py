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
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

from maxrl_jax.tasks.mathematics import grading

SECONDS_PER_ANSWER = 12.0  # Math-Verify's own limits: 5 to read an answer, 2 to print it, 5 to compare it
_SECONDS_TO_START = 60.0  # of a worker on a busy machine
_MAX_WORKERS = 16


class VerifierError(RuntimeError):
    """The workers cannot be started: nothing that an answer could cause."""


class Verdicts(NamedTuple):
    """What became of each answer, in the order they were given.

    Attributes:
        rewards: 1.0 where Math-Verify finds the gold in the answer, else 0.0.
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
            grade: judges (answer, gold) in a worker, as ``grading.grade`` does; a function of a module.

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

    def __enter__(self) -> "Verifier":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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

    def _schedule(self, pairs: Sequence[tuple[str, str]]) -> tuple[Any, list[concurrent.futures.Future]]:
        """One future an answer, and the pool they belong to."""
        if self._pool is None:
            from pebble import ProcessPool

            # A fork of a process that runs JAX may deadlock: workers start afresh.
            context = multiprocessing.get_context("spawn")
            by_math_verify = self._grade is grading.grade
            self._pool = ProcessPool(
                self._workers, initializer=grading.prepare, initargs=(by_math_verify,), context=context
            )
        pool = self._pool
        try:
            return pool, [pool.schedule(self._grade, args=pair, timeout=self._seconds) for pair in pairs]
        except RuntimeError:  # the pool broke in the meantime
            broken: concurrent.futures.Future = concurrent.futures.Future()
            broken.set_exception(BrokenProcessPool())
            return pool, [broken] * len(pairs)

    def _outcome(self, future: concurrent.futures.Future, pool: Any) -> int | None:
        """What became of one answer; None where the pool it waits for is broken or closed."""
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
        except Exception:  # of a judge that lets one through, or in sending an answer
            return grading.ERROR

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
        self._verifier.counts.update(grading.REASONS[reason] for reason in reasons)
        return Verdicts([float(reason == grading.RIGHT) for reason in reasons], reasons)

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
