"""Renders the table of estimators as Markdown: ``python -m maxrl_jax.documentation > docs/estimators.md``.

Names, hyper-parameters, formulas and legal values come from `TABLE` and the docstrings; every number is computed.
"""

from __future__ import annotations

import inspect
import re
import textwrap

import jax.numpy as jnp
import numpy as np

from maxrl_jax import objectives
from maxrl_jax.advantages import TABLE, Entry, Estimator, get
from maxrl_jax.advantages.table import Hyper

COMMAND = "python -m maxrl_jax.documentation > docs/estimators.md"

# The example: two successes among six, and made-up values for what some estimators need beside the rewards.
EXAMPLE = np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
COMPANIONS = {
    "mean_log_probs": np.array([-0.2, -1.0, -0.5, -0.5, -1.0, -2.0]),
    "greedy_rewards": np.array(0.0),
}
RATES = (0.01, 0.1, 0.5, 0.9)
KINDS = {"binary": "binary", "unit": "in [0, 1]", "real": "real"}

INTRODUCTION = f"""# Estimators

Made from the table in the code; do not edit. Refresh with

```
{COMMAND}
```

An estimator turns the rewards g_1..g_N of a group (binary: r_i, K successes, mu = K/N) into advantages A_1..A_N, and
the gradient estimate is (1/N) sum_i A_i S_i, S_i the gradient of the summed log-probability of rollout i.
Derivations, biases and the relations between the rows are in [theory.md](theory.md). Use one by name,
`advantages.get("maxpo", k=4)`, or `--config.rl.advantage.name=maxpo --config.rl.advantage.k=4`; your own as
`package.module:function`.
"""

EXAMPLE_NOTE = """## Each estimator

The numbers: a group of six with rewards 1 1 0 0 0 0, and the exact weight w of the estimator at N = 6, so that
E[(1/N) sum_i A_i S_i] = w grad p at pass rate p (maximum likelihood: 1/p). Estimators that need more than the rewards
are shown with mean_log_probs -0.2 -1 -0.5 -0.5 -1 -2 and greedy_rewards 0; they, and those that are not symmetric,
have six values and no weight that is a function of p.
"""


def _cell(text: str) -> str:
    """Text for a table cell: one line, no bare pipes."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _number(value: float) -> str:
    return f"{value + 0.0:.4g}"


def _docstring(entry: Entry) -> tuple[str, dict[str, str]]:
    """(everything before Args, {argument: its description}) of an entry's docstring."""
    head, _, rest = (inspect.getdoc(entry.function) or "").partition("\nArgs:\n")
    arguments = textwrap.dedent(rest.partition("\nReturns:\n")[0]).strip()
    # Whatever the indent, a line at the margin begins an argument and those below it go on with it.
    described = (argument.partition(": ") for argument in re.split(r"\n(?=\S)", arguments))
    return head.strip(), {name: _cell(words) for name, _, words in described}


def _signature(entry: Entry) -> str:
    """Hyper-parameters with defaults, then the arrays that are needed too."""
    empty = inspect.Parameter.empty
    parts = [key if value is empty else f"{key}={value}" for key, value in entry.defaults.items()]
    parts += [f"{key} [array]" for key in entry.needs]
    return f"`{', '.join(parts)}`" if parts else "none"


def _smallest_group(entry: Entry) -> int:
    """The smallest N that some setting of the entry allows, found by asking its own check."""
    for num_rollouts in range(1, 9):
        for hyper in entry.settings(num_rollouts):
            try:
                get(entry.name, **hyper).check(num_rollouts)
            except ValueError:
                continue
            return num_rollouts
    raise ValueError(f"{entry.name} allows no group of up to 8 rollouts")


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


def overview() -> str:
    """One line an estimator."""
    lines = [_row(["name", "hyper-parameters", "rewards", "smallest N", "centred", "(1/N) sum A_i S_i estimates"])]
    lines.append(_row(["---"] * 6))
    for entry in TABLE.values():
        lines.append(
            _row(
                [
                    f"[`{entry.name}`](#{entry.name})",
                    _signature(entry),
                    KINDS[entry.reward_kind],
                    str(_smallest_group(entry)),
                    _yes(entry.centred),
                    _cell(entry.estimates),
                ]
            )
        )
    return "\n".join(lines)


def _setting(hyper: Hyper) -> str:
    return ", ".join(f"{key}={value}" for key, value in hyper.items()) or "defaults"


def _example_rows(entry: Entry, settings: list[Hyper]) -> list[str]:
    n = len(EXAMPLE)
    arrays = {key: jnp.asarray(COMPANIONS[key], jnp.float32) for key in entry.needs}
    if entry.symmetric:
        head = ["N = 6", "success", "failure", *(f"w({p})" for p in RATES)]
    else:
        head = ["N = 6", *(f"A_{i + 1}" for i in range(n))]
    lines = [_row(head), _row(["---"] * len(head))]
    for hyper in settings:
        adv: Estimator = get(entry.name, **hyper)
        if entry.symmetric:
            success, fail = objectives.binary_form(adv, n)
            total = int(EXAMPLE.sum())
            numbers = [success[total], fail[total], *objectives.effective_weight(adv, np.array(RATES), n)]
        else:
            numbers = list(np.asarray(adv(jnp.asarray(EXAMPLE, jnp.float32), **arrays), np.float64))
        lines.append(_row([_setting(hyper), *map(_number, numbers)]))
    return lines


def section(entry: Entry) -> str:
    """Formula, legal values, source and example of one estimator."""
    formula, arguments = _docstring(entry)
    first, _, further = formula.partition("\n\n")
    lines = [f"### {entry.name}", "", f"`{_cell(first)}`", ""]
    if further:
        lines += [_cell(further), ""]
    lines += [f"- estimates: {_cell(entry.estimates)}", f"- source: {_cell(entry.source)}"]
    lines += [f"- {key}: {words}" for key, words in arguments.items()]
    centred = "; the advantages of every group sum to zero" if entry.centred else ""
    lines += [f"- smallest group: N = {_smallest_group(entry)}{centred}", ""]
    lines += _example_rows(entry, entry.settings(len(EXAMPLE)))
    return "\n".join(lines)


def render() -> str:
    """The whole page."""
    parts = [INTRODUCTION, overview(), "", EXAMPLE_NOTE]
    return "\n".join(parts) + "\n" + "\n\n".join(section(entry) for entry in TABLE.values()) + "\n"


if __name__ == "__main__":
    print(render(), end="")
