"""Completions of a run in the terminal: ``python -m experiments.lm.show DIR``.

    python -m experiments.lm.show runs/quick                       # first and last answers, side by side by prompt
    python -m experiments.lm.show runs/quick --step=6 --answers=8  # those of one step

Read from DIR/completions.jsonl, which a run writes at every evaluation. A right answer's line begins
with +, a failed one's with -; behind the text stand reward, advantage, length and reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from experiments.results import completions
from experiments.results.completions import Completion
from maxrl_jax.runs.command_line import Parser, exit_with, path, say_error


def main(arguments: Sequence[str]) -> int:
    """Prints the completions of the command line; 2 where the folder has none."""
    flags = Parser("python -m experiments.lm.show", __doc__)
    flags.add_argument("folder", type=path, metavar="DIR", help="the folder of a run")
    flags.add_argument("--step", type=int, help="the step shown; by default the first and the last one")
    flags.add_argument("--prompts", type=int, default=5, help="the most prompts shown (5)")
    flags.add_argument("--answers", type=int, default=3, help="the most right and the most failed answers of each (3)")
    options = flags.read(arguments)
    try:
        found = completions.read(options.folder)
    except FileNotFoundError:
        return say_error(f"{options.folder}: got no {completions.FILE}, allowed: the folder of a run that has one", 2)
    steps = sorted({completion.step for completion in found})
    if options.step is not None:
        if options.step not in steps:
            return say_error(f"--step: got {options.step}, allowed: {', '.join(map(str, steps))}", 2)
        shown = [(one,) for one in found if one.step == options.step]
    else:
        shown = completions.before_and_after(found) or [(one,) for one in found]
    for several in shown[: options.prompts]:
        print("\n".join(lines(several, options.answers)))
    return 0


def lines(several: Sequence[Completion], most: int) -> Iterator[str]:
    """The answers to one prompt at one step or two, as text."""
    yield "=" * 80
    yield several[0].prompt.strip()
    yield f"--- right answer: {several[0].gold}"
    for completion in several:
        yield f"--- step {completion.step}: {len(completion.right)} of {len(completion.answers)} right"
        for mark, answers in (("+", completion.right), ("-", completion.failed)):
            for answer in answers[:most]:
                yield f"  {mark} {' / '.join(answer.text.strip().splitlines())}  [{answer.numbers}]"
    yield ""


if __name__ == "__main__":
    exit_with(main)
