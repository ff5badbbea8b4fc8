"""A data set of one's own for `experiments.llm`: a file of problems, and how its columns are read.

    python examples/own_data.py problems.jsonl         # writes a file of a hundred sums
    python -m experiments.llm --config=configs/llm.py:gsm8k --config.data.train=problems.jsonl \
        --config.data.train_layout=own_data:SUMS ...

(with this file's folder on PYTHONPATH). Columns named prompt and answer need no layout: `data.train_layout=plain`.
"""

import json
import random
import sys

from maxrl_jax.tasks.mathematics import Layout, read_records


def right_side(answer: str) -> str:
    """The gold in a column such as "3 + 4 = 7"; ValueError says what is allowed."""
    _, sign, gold = answer.partition("=")
    if not sign:
        raise ValueError("a line with an equals sign")
    return gold.strip()


SUMS = Layout(question="task", answer="worked", instruction=" Put the result in \\boxed{}.", gold=right_side)


def main(path: str = "problems.jsonl") -> None:
    """Writes the file, and shows what is read of it."""
    draw = random.Random(0)
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(100):
            a, b = draw.randint(1, 50), draw.randint(1, 50)
            file.write(json.dumps({"task": f"What is {a} plus {b}?", "worked": f"{a} + {b} = {a + b}"}) + "\n")
    records = read_records(path, SUMS)
    print(f"{len(records)} problems in {path}; the first: {records[0]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
