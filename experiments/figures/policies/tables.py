"""The papers' tables of trained policies, drawn and printed, with published numbers beside ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.figures.policies.panels import published_at_17, records
from experiments.figures.registry import Context, figure
from experiments.results import policy_runs
from experiments.results.drawing import Drawing
from experiments.results.groups import Group, group
from experiments.results.policy_curves import largest_ks
from experiments.results.policy_runs import Record
from experiments.results.spread import spread, with_error
from experiments.results.style import new_figure

Measure = Callable[[Record, int], float]
"""A number of one evaluation, given by its step."""


@figure("maxrl_table3", title="Final pass@1, pass@128, pass@256, published beside ours", needs_runs=True)
def maxrl_table3(context: Context) -> Drawing:
    """Mean and standard error over seeds at the last common evaluation, and of the bases; the CSV has all."""
    found = records(context)
    ks = largest_ks(found, (1, 128, 256))
    table = pass_table(found, ks)
    theirs = published_at_17(found, "Table 3")
    for k in (1, 128, 256):
        values = theirs[theirs.metric == f"pass@{k}"].set_index("method").value
        table[f"published pass@{k}"] = table.method.map(values).astype(float)
    return draw_table(table)


@figure("maxrl_table4", title="Final pass@1, pass@k and majority vote on a fixed training set", needs_runs=True)
def maxrl_table4(context: Context) -> Drawing:
    """As Table 3, with the vote of all samples of a prompt (Table 7); runs of a task whose answers can vote."""
    found = records(context, _votes, "with a majority vote, evaluated before and after RL")
    measures: dict[str, Measure] = {f"pass@{k}": pass_at(k) for k in largest_ks(found, (1, 1024))}
    return draw_table(final_table(found, {**measures, "majority": majority}))


def pass_at(k: int) -> Measure:
    """pass@k, mean over prompts."""
    return lambda record, step: float(record.pass_curve([k], step)[0])


def majority(record: Record, step: int) -> float:
    """Share of prompts whose most frequent answer among all samples is right."""
    return record.evaluations[step][f"majority@{record.num_samples}"]


def pass_table(found: Sequence[Record], ks: Sequence[int]) -> pd.DataFrame:
    """`final_table` of pass@k; in mazes with a blind guess as its first row."""
    table = final_table(found, {f"pass@{k}": pass_at(k) for k in ks})
    blind = policy_runs.blind(found, ks)
    if blind is None:
        return table
    row = {"method": "blind", "label": "Blind guess", "rl_steps": 0}
    row |= dict(zip((f"pass@{k}" for k in ks), blind, strict=True))
    return pd.concat([pd.DataFrame([row]), table], ignore_index=True)[list(table)]


def final_table(found: Sequence[Record], measures: Mapping[str, Measure]) -> pd.DataFrame:
    """`rows` of the bases and of each group at the last step that each run was evaluated at."""
    return rows(policy_runs.ends(group(found)), measures)


def rows(ends: Sequence[tuple[Group[Record], Sequence[int]]], measures: Mapping[str, Measure]) -> pd.DataFrame:
    """One row a group, its runs at given steps: method, label, runs, rl_steps, each measure and its standard error."""
    found = []
    for one, at in ends:
        row = {"method": one.key, "label": one.label, "runs": len(one.runs), "rl_steps": max(at)}
        for name, measure in measures.items():
            mean, error, _ = spread([measure(run, step) for run, step in zip(one.runs, at, strict=True)])
            row |= {name: float(mean), f"{name} standard error": float(error)}
        found.append(row)
    return pd.DataFrame(found)


def draw_table(table: pd.DataFrame) -> Drawing:
    """A table as a figure and as text; columns that hold nothing but NaN are in the CSV alone."""
    names = [name for name in table.columns[4:] if not name.endswith("standard error") and table[name].notna().any()]
    counts = table[["runs", "rl_steps"]].map(lambda count: "" if pd.isna(count) else f"{count:.0f}").to_numpy()
    cells = [
        [row["label"], *count, *(_cell(row, name) for name in names)]
        for row, count in zip(table.to_dict("records"), counts, strict=True)
    ]
    header = ["method", "runs", "RL steps", *names]
    text = pd.DataFrame(cells, columns=header).to_string(index=False)
    shown = table.drop(columns="label")
    return Drawing(_as_figure([name.replace("published ", "published\n") for name in header], cells), shown, text)


def _cell(row: Mapping[str, float], name: str) -> str:
    return "" if np.isnan(row[name]) else with_error(row[name], row.get(f"{name} standard error", np.nan))


def _as_figure(header: Sequence[str], cells: Sequence[Sequence[str]]) -> Figure:
    fig, ax = new_figure(width="page", aspect=0.05 + 0.045 * (len(cells) + 1))
    ax.set_axis_off()
    table = ax.table(cells, colLabels=header, loc="center", cellLoc="center", edges="horizontal")
    table.auto_set_font_size(False)
    table.set_fontsize(7)
    table.scale(1, 1.4)
    return fig


def _votes(record: Record) -> bool:
    last = record.evaluations[max(record.evaluations)]
    return len(record.evaluations) > 1 and f"majority@{record.num_samples}" in last
