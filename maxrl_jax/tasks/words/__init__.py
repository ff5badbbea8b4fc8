r"""Word problems that need no data and no weights: the data-scarce language-model experiment (MaxRL, section 6.2).

    training = words.training_set(seed=0)               # 256 problems: .tokens [M, S] .lengths [M] .state [M]
    rewards = words.verify(training.state, answers)     # [P], [P, N, T] -> [P, N] in {0, 1}, under jit

    ada has 12 books then ben has 3 over ada then cal has twice ben how many has cal
    ada 12 ben plus 3 makes 15 cal doubled makes 30 so \boxed{30}

The base is a model trained on `demonstrations` by a teacher that misreads relations; what it learns of them sets its
pass rate. Rewards are those Math-Verify gives the decoded text.
"""

from maxrl_jax.tasks.words.arrays import demonstrations, held_out_set, training_set
from maxrl_jax.tasks.words.judge import REASONS, judge, verify
from maxrl_jax.tasks.words.vocabulary import PAD, SIZE, decode, decode_answer, encode

__all__ = [
    "PAD",
    "REASONS",
    "SIZE",
    "decode",
    "decode_answer",
    "demonstrations",
    "encode",
    "held_out_set",
    "judge",
    "training_set",
    "verify",
]
