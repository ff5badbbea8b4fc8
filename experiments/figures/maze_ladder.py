"""The initialisation ladder: the same RL on a graded reward from weaker and stronger bases (TailRL's, in small)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.figures.policies.panels import records
from experiments.figures.registry import Context, Skipped, figure
from experiments.lm.counts import SUMMARY
from experiments.results import groups, policy_curves
from experiments.results.band import apart, bars
from experiments.results.drawing import Drawing
from experiments.results.groups import Group, by, group
from experiments.results.policy_runs import Record
from experiments.results.spread import over_seeds
from experiments.results.style import from_zero, new_figure

GRADED = "path_quality"
"""The reward that every run is evaluated by, whatever it was trained on."""

INITIAL = "shortest_pass@1"
"""Orders the bases: the chance that one answer is a shortest path."""

METRICS = {"reward_mean": "mean reward", "best@32": "best reward of 32"}
"""Metrics of an evaluation by GRADED, a panel each."""


@figure("maze_ladder", title="Final against initial rate: the same RL from weaker and stronger bases", needs_runs=True)
def maze_ladder(context: Context) -> Drawing:
    """A line a method through the bases, bars of one standard error over seeds; the base's own line is no change."""
    found = records(context, _climbs, "of mazes, from a model.init_from, evaluated before and after RL")
    by(group(found), lambda one: (_method(one.runs[0]), _base(one.runs[0])))
    table = final(found)
    keys = ["method", "base", "initial", "metric"]
    lines = over_seeds(table, keys, "final").sort_values("initial", kind="stable")
    methods = list(dict.fromkeys(table.method))
    looks = policy_curves.looks([_line(method, lines) for method in methods], markers=True)
    fig, axes = new_figure(1, len(METRICS), width="page", aspect=1.0)
    for ax, (metric, label) in zip(axes, METRICS.items(), strict=True):
        ax.set_xscale("log")
        for method, shift in zip(methods, apart(len(methods)), strict=True):
            rows = lines[(lines.method == method) & (lines.metric == metric)]
            bars(ax, rows.initial * shift, rows["mean"], rows.standard_error, **looks[method])
        tries = metric.partition("@")[2] or 1
        policy_curves.blind_level(ax, found, int(tries))  # of its walks those that reach the goal are the shortest
        ax.set(xlabel="pass@1, shortest path, of the base", title=f"{label}, at the end")
        from_zero(ax)
    policy_curves.legend(fig, axes[0])
    return Drawing(fig, lines.rename(columns={"mean": "final", "n": "runs"}))


def final(found: Sequence[Record]) -> pd.DataFrame:
    """A row a run and metric: base, method, seed, metric, initial (INITIAL of the base, mean over seeds), final.

    The method `base` is the policies before RL; `_solved` ends the name of a method trained on 0 and 1.

    Raises:
        Skipped: runs of different lengths, a base without a run on GRADED, a metric that was not measured.
    """
    ends = sorted({max(record.evaluations) for record in found})
    if len(ends) > 1:
        raise Skipped(f"it compares runs of one length; these end at steps {', '.join(map(str, ends))}")
    # The evaluation before RL follows base and seed alone: runs of several methods repeat it.
    before = {(_base(record), record.seed): record for record in found if _graded(record)}
    rows = [_row(record, "base", record.evaluations[0]) for record in before.values()]
    rows += [_row(record, _method(record), _after(record)) for record in found]
    table = pd.DataFrame(rows)
    initial = table[table.method == "base"].groupby("base")[INITIAL].mean()
    missing = sorted(set(table.base) - set(initial.index))
    if missing:
        raise Skipped(f"no run with maze.reward={GRADED} from {', '.join(missing)}")
    table = table.drop(columns=INITIAL).assign(initial=table.base.map(initial))
    return table.melt(["base", "method", "seed", "initial"], list(METRICS), "metric", "final")


def _climbs(record: Record) -> bool:
    return record.task == "maze" and bool(_base(record)) and 0 in record.evaluations and len(record.evaluations) > 1


def _base(record: Record) -> str:
    """The rung: the name of the folder RL started from, such as model_sft_200, the same for every seed."""
    return Path(record.config["model"]["init_from"]).name


def _graded(record: Record) -> bool:
    return record.config["maze"]["reward"] == GRADED


def _method(record: Record) -> str:
    return record.method + ("" if _graded(record) else "_solved")


def _row(record: Record, method: str, evaluation: dict[str, Any]) -> dict[str, Any]:
    absent = [name for name in (INITIAL, *METRICS) if name not in evaluation]
    if absent:
        raise Skipped(f"{record.folder} was evaluated without {absent[0]} (samples a maze: {record.num_samples})")
    values = {name: evaluation[name] for name in (INITIAL, *METRICS)}
    return {"base": _base(record), "method": method, "seed": record.seed, **values}


def _after(record: Record) -> dict[str, Any]:
    """The metrics at the end: of the run's last evaluation, or of the command's where the run's were not by GRADED."""
    if _graded(record):
        return record.evaluations[max(record.evaluations)]
    model, size, mazes = record.folder / "model", record.config["maze"]["size"], record.config["eval"]["num_mazes"]
    file = model / f"evaluation_{size}" / SUMMARY
    found = json.loads(file.read_text()) if file.exists() else {}
    if (found.get("reward"), found.get("mazes")) != (GRADED, mazes):
        flags = f"--model={model} --reward={GRADED} --mazes={mazes} --samples={record.num_samples}"
        raise Skipped(f"{record.folder} was rewarded 0 or 1: first run python -m experiments.maze.evaluate {flags}")
    return {name.removeprefix("eval/"): value for name, value in found.items()}


def _line(method: str, lines: pd.DataFrame) -> Group:
    """A method as one line through the bases, its seeds in the label."""
    words = "Base, no RL" if method == "base" else groups.label(method.removesuffix("_solved"))
    seeds = int(lines[lines.method == method].n.max())
    words += ", reward 0 or 1" * method.endswith("_solved") + f" ({seeds} seed{'s' * (seeds > 1)})"
    return Group(method.removesuffix("_solved"), method, words, ())
