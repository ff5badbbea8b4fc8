"""The vocabulary of `experiments.results.check`: where a number in a text comes from.

A text marks its numbers with an expression of these functions, in an HTML comment that readers do not see. All paths
are below results/; several folders are separated by spaces.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.results import folders, image_runs, policy_runs
from experiments.results.groups import by, group
from experiments.results.policy_runs import Record
from experiments.results.spread import spread
from maxrl_jax import advantages, objectives  # noqa: F401
from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import blind  # noqa: F401

ROOT = Path(__file__).resolve().parents[2] / "results"
_SHORT = {"N": "rl.num_rollouts", "P": "rl.num_prompts", "seed": "seed", "base": "model.init_from"}


@functools.cache
def _records(where: str) -> list[Record]:
    return policy_runs.find([ROOT / folder for folder in where.split()])


def chosen(where: str, method: str = "", **fields: Any) -> list[Record]:
    """The runs of one method and of given N, P, seed or base (the end of its path): seeds of one setting."""
    found = [
        run for run in _records(where)
        if all(str(run.fields.get(_SHORT[k])).endswith(str(v)) if k == "base" else run.fields.get(_SHORT[k]) == v
               for k, v in fields.items())
    ]  # fmt: skip
    if method in ("", "blind"):
        return found
    if method == "base":
        return list(policy_runs.bases(found).runs)
    return list(by([one for one in group(found) if one.method == method], lambda one: one.method)[method].runs)


def passes(where: str, method: str, *ks: int, step: int | None = None, **fields: Any) -> list[float]:
    """pass@k over seeds: a mean for each k, each followed by its standard error where there are several seeds.

    Args:
        where: folders.
        method: as `groups.method`; base for the policies before RL, blind for a blind walker on their mazes.
        *ks: the k.
        step: of the evaluation; the last common one by default.
        **fields: see `chosen`.
    """
    runs = chosen(where, method, **fields)
    if method == "blind":
        rates = policy_runs.blind(runs, ks)
        assert rates is not None, f"{where} has runs of other tasks than mazes"
        return rates.tolist()
    return _spread([run.pass_curve(ks, _step(runs, method, step)) for run in runs])


def each(where: str, method: str, k: int, step: int | None = None, **fields: Any) -> list[float]:
    """pass@k of each run, in order of their seeds."""
    runs = sorted(chosen(where, method, **fields), key=lambda run: run.seed)
    return [float(run.pass_curve([k], _step(runs, method, step))[0]) for run in runs]


def metric(where: str, method: str, *names: str, step: int | None = None, **fields: Any) -> list[float]:
    """Metrics of an evaluation over seeds, as `passes`."""
    runs = chosen(where, method, **fields)
    return _spread([[run.evaluations[_step(runs, method, step)][name] for name in names] for run in runs])


def best(where: str, method: str, k: int = 1, **fields: Any) -> list[float]:
    """pass@k at the best evaluation after RL began of each run, in order of their seeds."""
    runs = sorted(chosen(where, method, **fields), key=lambda run: run.seed)
    return [max(float(run.pass_curve([k], step)[0]) for step in run.evaluations if step) for run in runs]


def after(where: str, method: str, *names: str, kind: str = "", **fields: Any) -> list[float]:
    """Metrics of the evaluations of final models on one kind of held-out problems, over seeds as `passes`."""
    return _spread([[run.summaries[kind][f"eval/{name}"] for name in names] for run in chosen(where, method, **fields)])


def overruns(where: str, method: str) -> list[float]:
    """The share of the right answers that each run has kept which go on after the goal, in order of seeds."""
    shares = []
    for run in sorted(chosen(where, method), key=lambda run: run.seed):
        kept = np.load(run.folder / "figures" / "answers.npz")
        verdict = maze.judge(kept["walls"], kept["answers"])
        over = np.asarray(verdict.num_moves > verdict.num_steps)
        shares.append(float(over[kept["reason"] == maze.REASONS.index("solved")].mean()))
    return shares


def trained(where: str, method: str, name: str, first: int, last: int, **fields: Any) -> list[float]:
    """A train/ metric, mean over the logged steps from first to last, over seeds as `passes`."""
    runs = chosen(where, method, **fields)
    return _spread([[run.train.set_index("step")[name].loc[first:last].mean()] for run in runs])


def logged(folder: str, name: str, first: int = 0, last: int | None = None) -> list[float]:
    """The values of a metric, by its whole name, in the lines of one run from step first to last."""
    records = folders.read(ROOT / folder).records
    return [r[name] for r in records if name in r and first <= r["step"] <= (r["step"] if last is None else last)]


def images(where: str, method: str, n: int, name: str = "pass@1") -> list[float]:
    """A metric of the last evaluation of image runs, as `passes`."""
    runs = [r for r in image_runs.find([ROOT / where]) if (r.method, r.num_rollouts) == (method, n)]
    return _spread([[run.evaluations[name].iloc[-1]] for run in runs])


def csv(file: str, *columns: str, **where: Any) -> list[float]:
    """Columns of the one row of a table that has given values."""
    table = pd.read_csv(ROOT / file)
    for name, value in where.items():
        table = table[table[name] == value]
    assert len(table) == 1, f"{len(table)} rows of {file} have {where}"
    return [float(table[column].iloc[0]) for column in columns]


def log(file: str, *path: str) -> list[float]:
    """A value of each line of a file of JSON objects, by its path in the object."""
    lines = [json.loads(line) for line in (ROOT / file).read_text().splitlines()]
    return [functools.reduce(lambda at, key: at[key], path, line) for line in lines]


def paired(where: str, method: str, other: str, k: int = 1, step: int | None = None) -> list[float]:
    """The lead of a method over another at pass@k, of each seed."""
    ours, theirs = each(where, method, k, step), each(where, other, k, step)
    return [a - b for a, b in zip(ours, theirs, strict=True)]


def _step(runs: Sequence[Record], method: str, step: int | None) -> int:
    if method == "base":
        return min(runs[0].evaluations)
    return policy_runs.last_common_step(runs) if step is None else step


def _spread(rows: Sequence[Any]) -> list[float]:
    mean, error, _ = spread(np.asarray(rows, float))
    pairs = zip(mean.tolist(), error.tolist(), strict=True)
    return [value for pair in pairs for value in pair if len(rows) > 1 or value is pair[0]]
