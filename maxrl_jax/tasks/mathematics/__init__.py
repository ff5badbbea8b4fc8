r"""Mathematical questions in text: chat prompts from files of problems, answers verified by Math-Verify.

    tokenizer = mathematics.Tokenizer.load("SmolLM2-360M-Instruct")     # a local folder
    records = mathematics.read_records("train.jsonl", "gsm8k")
    prompts = mathematics.make_prompts(records, tokenizer, max_length=512)
    tokens, lengths = prompts.batch(ids)                                # [B, S], [B]
    with mathematics.Verifier() as verifier:
        rewards, reasons = mathematics.judge(tokenizer, verifier, golds, answers, cut_is_wrong=True)

    mathematics.score(["so it is \\boxed{5}"], ["5"])                   # [1.0], from strings alone

Needs the extra ``llm`` (tokenizers, jinja2, pyarrow, math-verify, pebble), each package only where it is used.
Everything is read from local files.
"""

from maxrl_jax.errors import InputError
from maxrl_jax.tasks.mathematics.answers import judge
from maxrl_jax.tasks.mathematics.boxes import last_box
from maxrl_jax.tasks.mathematics.grading import REASONS
from maxrl_jax.tasks.mathematics.prompts import LENGTH_LIMIT, Prompts, bucket, make_prompts
from maxrl_jax.tasks.mathematics.records import LAYOUTS, Layout, Record, read_records
from maxrl_jax.tasks.mathematics.tokenizer import Tokenizer
from maxrl_jax.tasks.mathematics.verifier import Verdicts, Verifier, VerifierError, score

__all__ = [
    "LAYOUTS",
    "LENGTH_LIMIT",
    "REASONS",
    "InputError",
    "Layout",
    "Prompts",
    "Record",
    "Tokenizer",
    "Verdicts",
    "Verifier",
    "VerifierError",
    "bucket",
    "judge",
    "last_box",
    "make_prompts",
    "read_records",
    "score",
]
