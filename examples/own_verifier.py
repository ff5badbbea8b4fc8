"""A verifier of one's own for `experiments.lm`: one function of two strings.

    python -m experiments.llm --config=configs/llm.py:gsm8k --config.verifier.grade=own_verifier:same_number ...

(with this file's folder on PYTHONPATH). It runs in worker processes: one that hangs or dies costs its own answer.

    python examples/own_verifier.py        # tries it on a few answers
"""

import re

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def same_number(answer: str, gold: str) -> bool:
    """Whether the last number of an answer is the gold: replace it by what you want."""
    numbers = NUMBER.findall(answer)
    return bool(numbers) and float(numbers[-1].replace(",", "")) == float(gold.replace(",", ""))


def main() -> None:
    """Judges a few answers in a pool of workers, as a run does."""
    from maxrl_jax.tasks.mathematics import REASONS, Verifier
    from maxrl_jax.tasks.mathematics.grading import OwnGrade

    answers = ["3 + 4 = 7", "it is 1,200.0", "about eight", "7 or 8"]
    golds = ["7", "1200", "8", "7"]
    with Verifier(workers=1, grade=OwnGrade("own_verifier:same_number")) as verifier:
        verdicts = verifier.judge(answers, golds)
    for answer, gold, reason in zip(answers, golds, verdicts.reasons, strict=True):
        print(f"{answer!r}, gold {gold}: {REASONS[reason]}")


if __name__ == "__main__":
    main()
