"""MaxRL Figure 1 with exact finite-N weights, and the tutorial's '2 + 3 = ?' numbers: nothing is sampled here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.figures.registry import Context, figure
from experiments.results.drawing import Drawing
from experiments.results.style import COLOURS, LABELS, legend, new_figure, shades
from maxrl_jax import advantages, objectives

ROLLOUTS = (4, 16, 64, 1024)  # N whose exact weights are drawn


def _curves(p: np.ndarray) -> list[dict[str, Any]]:
    """Every curve: the population weights of MaxRL Table 2, then the exact weights at finite N."""
    curves = [
        {"name": "ml", "label": "ML: $1/p$", "weights": objectives.weight("ml", p), "style": "-"},
        {"name": "rl", "label": "RL: $1$", "weights": objectives.weight("rl", p), "style": "-"},
        {"name": "grpo", "label": r"GRPO: $1/\sqrt{p(1-p)}$", "weights": objectives.weight("grpo", p), "style": "-"},
    ]
    for name in ("maxrl", "grpo"):
        for n, colour in zip(ROLLOUTS, shades(name, len(ROLLOUTS)), strict=True):
            weights = objectives.effective_weight(advantages.get(name), p, n)
            style = {"style": "--", "colour": colour, "num_rollouts": n}
            curves.append({"name": name, "label": f"{LABELS[name]}, $N={n}$", "weights": weights, **style})
    return curves


def _draw(ax: Axes, p: np.ndarray, curves: list[dict[str, Any]]) -> None:
    for curve in curves:
        colour = curve.get("colour", COLOURS[curve["name"]])
        ax.plot(p, curve["weights"], curve["style"], color=colour, label=curve["label"])
    ax.set(yscale="log", xlabel="pass rate $p$")


@figure("maxrl_fig1", title="MaxRL Figure 1: weight w(p) of every objective, and exactly at finite N")
def maxrl_fig1(context: Context) -> Drawing:
    """w(p) with grad J = w(p) grad p; dashed: the exact weights of GRPO and practical MaxRL at N rollouts."""
    count = 100 if context.quick else 400
    small, even = np.geomspace(1e-4, 0.999, count), np.linspace(0.002, 0.998, count)
    fig, (left, right) = new_figure(1, 2, width="page", aspect=0.8)
    frames = []
    for ax, panel, p in ((left, "hard prompts", small), (right, "all prompts", even)):
        curves = _curves(p)
        _draw(ax, p, curves)
        for curve in curves:
            columns = {"panel": panel, "objective": curve["name"], "num_rollouts": curve.get("num_rollouts")}
            frames.append(pd.DataFrame({**columns, "pass_rate": p, "weight": curve["weights"]}))
    left.set(xscale="log", ylabel="weight $w(p)$", ylim=(0.5, 1e4), xlim=(1e-4, 1), title="hard prompts: log $p$")
    right.set(ylim=(0.5, 40), xlim=(0, 1), title="all prompts: GRPO rises again as $p$ goes to 1")
    legend(fig, left, 4)
    return Drawing(fig, pd.concat(frames, ignore_index=True))


# The tutorial's example: answers "5" (right), "4", "6" with these probabilities, and N = 10 rollouts.
POLICY, ROLLOUTS_OF_EXAMPLE = np.array([0.1, 0.6, 0.3]), 10
SHOWN_ESTIMATORS = ("reinforce", "rloo", "grpo", "success_mean", "maxrl_unbiased", "maxrl")


def _objective_rows(p: float) -> list[tuple[str, str, float]]:
    rows = [(f"pass@{k}", f"$1-(1-p)^{{{k}}}$", float(objectives.pass_at_k(p, k))) for k in (1, 3, 10)]
    rows += [
        (f"$J^{{({t})}}$", rf"$-\Sigma_{{k\leq {t}}}\,(1-p)^k/k$", float(objectives.maxrl(p, t))) for t in (1, 2, 3, 4)
    ]
    rows.append(("$\\log p$", "limit of the above", float(objectives.log_likelihood(p))))
    rows.append(("$w$ of RL", "$1$", float(objectives.weight("rl", p))))
    order = float(objectives.weight("maxrl", p, order=ROLLOUTS_OF_EXAMPLE))
    rows.append(("$w$ of MaxRL, $T=10$", "$(1-(1-p)^{10})/p$", order))
    exact = float(objectives.effective_weight(advantages.get("maxrl"), p, ROLLOUTS_OF_EXAMPLE))
    rows.append(("$w$ of practical MaxRL, $N=10$", "$(1-(1-p)^{9})/p$", exact))
    rows.append(("$w$ of ML", "$1/p$", float(objectives.weight("ml", p))))
    return rows + _control_variate_rows(p)


def _control_variate_rows(p: float) -> list[tuple[str, str, float]]:
    """The control variate V = (1/N) sum_i S_i of MaxRL eq. 7: its variance, and that which subtracting it removes."""
    n, norms = ROLLOUTS_OF_EXAMPLE, _norms(POLICY)

    def variance(name: str) -> float:
        return float(objectives.effective_variance(advantages.get(name), p, n, **norms))

    own = float(1 - (POLICY**2).sum()) / n
    saved = variance("success_mean") - variance("maxrl_unbiased")
    return [
        ("variance of $V=(1/N)\\Sigma_i S_i$", "$(1-|\\pi|^2)/N$", own),
        ("what subtracting $V$ saves", "Var(eq. 6) - Var(eq. 7)", saved),
    ]


def _norms(policy: np.ndarray) -> dict[str, float]:
    """Squared score norms of the softmax policy whose first answer is right."""
    scores = np.eye(policy.size) - policy  # row y: the score of answer y
    squared = (scores**2).sum(-1)
    fail_share = policy[1:] / policy[1:].sum()
    gradient = policy[0] * scores[0]
    return {
        "success_norm": float(squared[0]),
        "fail_norm": float(fail_share @ squared[1:]),
        "gradient_norm": float((gradient**2).sum()),
    }


def _estimator_rows(p: float) -> list[dict[str, Any]]:
    """For each estimator: weight of one score in the estimate at K = 1 and 2, exact w and exact variance."""
    n, norms = ROLLOUTS_OF_EXAMPLE, _norms(POLICY)
    rows = []
    for name in SHOWN_ESTIMATORS:
        advantage = advantages.get(name)
        row: dict[str, Any] = {"estimator": name}
        for successes in (1, 2):
            success, fail = advantage.binary_form(successes, n)
            row |= {f"K={successes} success": float(success) / n, f"K={successes} failure": float(fail) / n}
        row["weight"] = float(objectives.effective_weight(advantage, p, n))
        row["variance"] = float(objectives.effective_variance(advantage, p, n, **norms))
        rows.append(row)
    return rows


def _table(ax: Axes, title: str, header: list[str], cells: list[list[str]], widths: list[float]) -> None:
    ax.axis("off")
    ax.set_title(title, loc="left")
    table = ax.table(
        cellText=cells,
        colLabels=header,
        colWidths=widths,
        loc="upper left",
        cellLoc="left",
        colLoc="left",
        edges="horizontal",
    )
    table.auto_set_font_size(False)
    table.set_fontsize(7)
    table.scale(1, 1.15)


def _signed(value: float) -> str:
    return "0" if value == 0 else f"{value:+.3f}"


@figure("tutorial", title="The tutorial's '2 + 3 = ?': p = 0.1, N = 10, every number computed")
def tutorial(context: Context) -> Drawing:
    """A table: objectives at p = 0.1, and each estimator with one and with two successes among ten."""
    p = float(POLICY[0])
    values, estimators = _objective_rows(p), _estimator_rows(p)
    fig, (top, bottom) = new_figure(2, 1, width="page", aspect=0.37, height_ratios=(15.5, 8))
    cells = [[name, formula, f"{value:.4f}"] for name, formula, value in values]
    _table(top, "'2 + 3 = ?' with $p=0.1$", ["quantity", "formula", "value"], cells, [0.4, 0.4, 0.2])
    header = ["estimator", "$K=1$: success", "failure", "$K=2$: success", "failure", "exact $w(0.1)$", "exact variance"]
    rows = [
        [
            LABELS[row["estimator"]],
            *(_signed(row[key]) for key in row if key.startswith("K=")),
            *(f"{row[key]:.4f}" for key in ("weight", "variance")),
        ]
        for row in estimators
    ]
    _table(bottom, "weight $A_i/N$ of each score, $N=10$", header, rows, [0.2, *[0.125] * 4, 0.15, 0.15])
    objective_table = pd.DataFrame(
        [{"part": "objective", "quantity": name.replace("$", ""), "value": value} for name, _, value in values]
    )
    long = [
        {"part": row["estimator"], "quantity": key, "value": value}
        for row in estimators
        for key, value in row.items()
        if key != "estimator"
    ]
    return Drawing(fig, pd.concat([objective_table, pd.DataFrame(long)], ignore_index=True))
