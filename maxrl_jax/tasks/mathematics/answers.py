"""From answers as tokens to rewards."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, Int, Int32

from maxrl_jax.tasks.mathematics import grading
from maxrl_jax.tasks.mathematics.tokenizer import Tokenizer
from maxrl_jax.tasks.mathematics.verifier import Verifier

Judged = tuple[Float32[np.ndarray, "P N"], Int32[np.ndarray, "P N"]]


def judge(
    tokenizer: Tokenizer, verifier: Verifier, golds: list[str], answers: Int[np.ndarray, "P N T"], *, cut_is_wrong: bool
) -> Judged:
    """Rewards of N answers to each of P problems, 0 or 1, and the reasons (indices into ``REASONS``); see `submit`."""
    return submit(tokenizer, verifier, golds, answers, cut_is_wrong=cut_is_wrong)()


def submit(
    tokenizer: Tokenizer, verifier: Verifier, golds: list[str], answers: Int[np.ndarray, "P N T"], *, cut_is_wrong: bool
) -> Callable[[], Judged]:
    """Starts to `judge`; the function returned waits for the result: call it once, in the order of the submissions.

    Args:
        tokenizer: that wrote the prompts.
        verifier: whose workers judge the answers.
        golds: P right answers.
        answers: tokens drawn; what follows the first end of text is not looked at.
        cut_is_wrong: whether an answer without an end of text is wrong unread (the release: SmolLM2), or is judged
            as it stands (Qwen3).
    """
    num_answers = answers.shape[1]
    rows = answers.reshape(-1, answers.shape[-1]).tolist()
    golds_of_rows = [gold for gold in golds for _ in range(num_answers)]
    read = [row for row, tokens in enumerate(rows) if not cut_is_wrong or tokenizer.end(tokens) < len(tokens)]
    pending = verifier.submit(
        [tokenizer.decode_answer(rows[row]) for row in read], [golds_of_rows[row] for row in read]
    )

    def result() -> Judged:
        verdicts = pending.result()
        rewards = np.zeros(len(rows), np.float32)
        reasons = np.full(len(rows), grading.CUT, np.int32)
        rewards[read], reasons[read] = verdicts.rewards, verdicts.reasons
        verifier.counts["cut"] += len(rows) - len(read)
        return rewards.reshape(answers.shape[:2]), reasons.reshape(answers.shape[:2])

    return result
