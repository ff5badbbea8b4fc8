r"""Figures and tables of final models on several held-out sets, from the evaluations that a run's folder holds.

    python -m experiments.lm.evaluate --run=RUN --temperature=0.6 --top_p=0.95 --config.words.held_out=KIND \
        --samples=256 --out=RUN/evaluation/KIND

A run without RL, as that of a seed's SFT, is the base.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.figures.policies import tables
from experiments.figures.policies.final import efficiency
from experiments.figures.policies.panels import records
from experiments.figures.registry import Context, Skipped, figure
from experiments.results.drawing import Drawing
from experiments.results.groups import Group, group
from experiments.results.policy_curves import legend, over_k
from experiments.results.policy_runs import Counts, Record
from experiments.results.style import new_figure
from maxrl_jax.lm import evaluation

KINDS = {"": "training distribution", "rare": "rarer relation words", "long": "longer chains"}

Sets = Mapping[str, Sequence[tuple[Group[Record], Sequence[Counts]]]]
"""By kind of held-out problems: the successes of every run of a group."""


def _sets(context: Context) -> Sets:
    found = records(context, lambda run: bool(run.summaries), "with evaluation/*/summary.json")
    shared = [kind for kind in KINDS if all(kind in run.summaries for run in found)]
    if not shared:
        raise Skipped("its runs were not evaluated on one kind of held-out problems")
    counts = {
        kind: [(one, [_counts(run.summaries[kind]) for run in one.runs]) for one in group(found)] for kind in shared
    }
    settings = {(run.summaries[k]["temperature"], run.summaries[k]["top_p"]) for run in found for k in shared}
    if len(settings) > 1:
        raise Skipped(f"evaluations at several temperatures and top-p: {sorted(settings)}")
    return counts


def _counts(summary: Mapping[str, Any]) -> Counts:
    return Counts(np.asarray(summary["eval/solved"]), summary["samples"])


def _orders(found: Sequence[tuple[Group[Record], Sequence[Counts]]]) -> list[int]:
    return evaluation.orders(min(counts.num_samples for _, of_group in found for counts in of_group))


def _curves(found: Sequence[tuple[Group[Record], Sequence[Counts]]], ks: Sequence[int]) -> list[tuple[Group, Any]]:
    return [(one, np.stack([counts.pass_curve(ks) for counts in of_group])) for one, of_group in found]


@figure("maxrl_fig5", title="pass@k on several held-out sets, and samples needed against MaxRL", needs_runs=True)
def maxrl_fig5(context: Context) -> Drawing:
    """Top: pass@k over k, a panel a set (Figures 5, 11); below: k over the samples MaxRL needs for the same pass@k."""
    sets = _sets(context)
    fig, axes = new_figure(2, len(sets), width="page", aspect=0.85, squeeze=False)
    rows: list[dict] = []
    for (top, bottom), (kind, found) in zip(axes.T, sets.items(), strict=True):
        ks = _orders(found)
        rows += over_k(top, _curves(found, ks), ks, metric="pass@k", set=KINDS[kind])
        top.set(title=KINDS[kind], ylabel="pass@k")
        pairs = [(one, list(zip(one.runs, counts, strict=True))) for one, counts in found if one.method != "base"]
        rows += efficiency(bottom, pairs, metric="efficiency", set=KINDS[kind])
    legend(fig, axes[0, 0], [one for one, _ in next(iter(sets.values()))])
    return Drawing(fig, pd.DataFrame(rows))


@figure("maxpo_fig2", title="pass@k, task average and by set (also Figure 8)", needs_runs=True)
def maxpo_fig2(context: Context) -> Drawing:
    """The mean over the held-out sets, then each of them."""
    sets = _sets(context)
    ks = min(map(_orders, sets.values()), key=len)
    curves = {KINDS[kind]: _curves(found, ks) for kind, found in sets.items()}
    mean = [
        (same[0][0], np.mean([values for _, values in same], axis=0)) for same in zip(*curves.values(), strict=True)
    ]
    fig, axes = new_figure(1, len(sets) + 1, width="page", aspect=1.2)
    rows: list[dict] = []
    for ax, (title, lines) in zip(axes, {"mean of the sets": mean, **curves}.items(), strict=True):
        rows += over_k(ax, lines, ks, set=title)
        ax.set_title(title)
    axes[0].set_ylabel("pass@k")
    legend(fig, axes[0], [one for one, _ in mean])
    return Drawing(fig, pd.DataFrame(rows))


@figure("maxpo_table2", title="pass@1, @16 and @256 by held-out set (also Table 3)", needs_runs=True)
def maxpo_table2(context: Context) -> Drawing:
    """A column a set and k, mean and standard error over seeds."""
    sets = _sets(context)
    ks = [k for k in (1, 16, 256) if k <= min(_orders(found)[-1] for found in sets.values())]
    columns = {
        f"{kind or 'as trained'}@{k}": lambda run, step, kind=kind, k=k: _counts(run.summaries[kind]).pass_curve([k])[0]
        for kind in sets
        for k in ks
    }
    return tables.draw_table(tables.rows(_ends(sets), columns))


@figure("maxrl_table7", title="Majority vote of 64 and of all samples of a final model", needs_runs=True)
def maxrl_table7(context: Context) -> Drawing:
    """pass@1 and votes on the training distribution."""
    sets = _sets(context)
    kind, found = next(iter(sets.items()))
    most = _orders(found)[-1]
    names = {name: f"eval/{name}" for name in dict.fromkeys(("pass@1", "majority@64", f"majority@{most}"))}
    columns = {name: lambda run, step, key=key: run.summaries[kind][key] for name, key in names.items()}
    return tables.draw_table(tables.rows(_ends(sets), columns))


def _ends(sets: Sets) -> list[tuple[Group[Record], list[int]]]:
    groups = [one for one, _ in next(iter(sets.values()))]
    return [(one, [max(run.evaluations) for run in one.runs]) for one in groups]
