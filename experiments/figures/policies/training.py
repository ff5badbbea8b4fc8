"""Figures of policies over RL steps or epochs, from run folders."""

from __future__ import annotations

import pandas as pd

from experiments.figures.policies.panels import coverage, panels, records
from experiments.figures.registry import Context, figure
from experiments.results.drawing import Drawing
from experiments.results.groups import group
from experiments.results.policy_curves import largest_ks, legend, levels, over_steps, pass_at, trained
from experiments.results.policy_runs import Record
from experiments.results.style import new_figure


@figure("maxrl_fig4", title="A fixed training set: pass@1 and pass@k over epochs", needs_runs=True)
def maxrl_fig4(context: Context) -> Drawing:
    """Runs on a fixed set (words, mazes with maze.training_set), over its epochs; dashed: the base."""
    found = records(context, _on_a_fixed_set, "on a fixed training set, evaluated before and after RL")
    groups, ks = group(found), largest_ks(found, (1, 16, 256))
    fig, axes = new_figure(1, len(ks), width="page", aspect=0.8, squeeze=False)
    rows: list[dict] = []
    for ax, k in zip(axes[0], ks, strict=True):
        rows += over_steps(ax, groups, pass_at(k), f"pass@{k}", epochs=True)
        rows += levels(ax, found, k, linestyle="--")
        ax.set_xlabel("epochs of the training set")
        ax.set_ylabel(f"held-out pass@{k}")
    legend(fig, axes[0][0], groups)
    return Drawing(fig, pd.DataFrame(rows).rename(columns={"step": "epoch"}))


def _on_a_fixed_set(record: Record) -> bool:
    return record.training_set > 0 and len(record.evaluations) > 1


@figure("maxrl_fig12", title="Share of training prompts with at least one success (also Figure 7)", needs_runs=True)
def maxrl_fig12(context: Context) -> Drawing:
    """1 - all_fail over RL steps."""
    all_fail = trained("all_fail")
    names = {"prompts with a success": lambda record: 1 - all_fail(record)}
    return panels(names, records(context, _trained, "trained"), smooth=True)


@figure("maxrl_fig13", title="Answer length and entropy during training", needs_runs=True)
def maxrl_fig13(context: Context) -> Drawing:
    """Mean answer length in tokens and entropy in nats a token."""
    names = {"answer length (tokens)": trained("answer_length"), "entropy (nats a token)": trained("entropy")}
    return panels(names, records(context, _trained, "trained"), smooth=True)


def _trained(record: Record) -> bool:
    return len(record.train) > 0


@figure("maxrl_fig17", title="Held-out pass@k during training: GRPO, RLOO, MaxRL", needs_runs=True)
def maxrl_fig17(context: Context) -> Drawing:
    """pass@1, 32, 128, 256 over RL steps for the three objectives of the paper."""
    found = records(context, lambda r: r.method in ("grpo", "rloo", "maxrl"), "of grpo, rloo or maxrl")
    return coverage(found, largest_ks(found, (1, 32, 128, 256)))


@figure("maxrl_fig18", title="Held-out pass@k during training: every method", needs_runs=True)
def maxrl_fig18(context: Context) -> Drawing:
    """pass@1, 32, 256 over RL steps for all methods among the runs; the paper's second panel has 128, at 17 x 17."""
    found = records(context)
    return coverage(found, largest_ks(found, (1, 32, 256)))


@figure("pkpo_fig2", title="Training problems solved so far, and entropy, over k_opt", needs_runs=True)
def pkpo_fig2(context: Context) -> Drawing:
    """Share of the fixed training set that some rollout has solved up to a step, and nats a token."""
    found = records(context, lambda run: "cumulative_solve_rate" in run.train, "on a fixed training set")
    names = {"problems solved so far": "cumulative_solve_rate", "entropy (nats a token)": "entropy"}
    return panels({title: trained(name) for title, name in names.items()}, found)


@figure("pkpo_fig4", title="k annealed against each k alone", needs_runs=True)
def pkpo_fig4(context: Context) -> Drawing:
    """Held-out pass@1 and pass@8 over RL steps."""
    found = records(context, lambda run: run.method == "rloo" or run.method.startswith("pkpo"), "of rloo or pkpo")
    return coverage(found, largest_ks(found, (1, 8)))


@figure("pkpo_fig5", title="A hard training set, on which k = 1 may stall", needs_runs=True)
def pkpo_fig5(context: Context) -> Drawing:
    """Training problems solved so far, held-out pass@1 and pass@64, of runs on a fixed set of one kind."""
    found = records(
        context, lambda run: run.config.get("words", {}).get("training"), "on a harder set of word problems"
    )
    held_out = {f"pass@{k}": pass_at(k) for k in largest_ks(found, (1, 64))}
    return panels({"problems solved so far": trained("cumulative_solve_rate"), **held_out}, found)


@figure("maxpo_fig3", title="Gradient variance as Adam's moments see it", needs_runs=True)
def maxpo_fig3(context: Context) -> Drawing:
    """sum(v_hat - m_hat^2) over RL steps, logarithmic."""
    found = records(context, lambda r: "adam_variance_proxy" in r.train, "trained with Adam's moments")
    drawing = panels({"Adam-moment variance proxy": trained("adam_variance_proxy")}, found, smooth=True)
    drawing.fig.axes[0].set_yscale("log")
    return drawing
