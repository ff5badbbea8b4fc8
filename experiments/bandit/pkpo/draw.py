"""Drawing of PKPO's story on prompts that share a distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.results import band
from experiments.results.drawing import Drawing
from experiments.results.style import COLOURS, new_figure, shades


def _k_colours(names: list[str]) -> dict[str, Any]:
    """k = 1 is RLOO and has its colour; larger k are shades of PKPO's; the annealed run stands out."""
    larger = [name for name in names if "then" not in name and name != "k = 1"]
    colours = dict(zip(larger, shades("pkpo", len(larger) + 1)[1:], strict=True)) | {"k = 1": COLOURS["rloo"]}
    return {name: colours.get(name, COLOURS["maxrl"]) for name in names}


def _matrix(ax: Axes, table: pd.DataFrame) -> None:
    """pass@k_eval at the end for every constant k_opt, on the set whose groups cannot be told apart."""
    end = table[(table.task_set == "ambiguous") & (table.step == table.step.max())]
    rows = [name for name in dict.fromkeys(end.method) if "then" not in name]
    columns = [column for column in end if column.startswith("pass@")]
    values = end.groupby("method")[columns].mean().loc[rows].to_numpy()
    share = values / values.max(axis=0)
    ax.imshow(share, cmap="Purples", vmin=share.min() - 0.2, vmax=1.15, aspect="auto")
    for i, j in np.ndindex(values.shape):
        weight = "bold" if values[i, j] >= values[:, j].max() - 5e-4 else "normal"
        ax.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", fontsize=6.5, weight=weight)
    ax.set_xticks(range(len(columns)), [column.split("@")[1] for column in columns])
    ax.set_yticks(range(len(rows)), [name.split("= ")[1] for name in rows])
    ax.grid(False)
    ax.set(xlabel="$k_{eval}$", ylabel="$k_{opt}$")


def draw_pkpo(table: pd.DataFrame, num_rollouts: int, anneal_step: int) -> Drawing:
    """Counterparts of PKPO's Figures 2 to 5 on the prompt bandit, trained with N = num_rollouts (the paper's n)."""
    names = list(dict.fromkeys(table.method))
    colours = _k_colours(names)
    constant = [name for name in names if "then" not in name]
    high = "pass@8" if "pass@8" in table else [c for c in table if c.startswith("pass@")][-1]
    fig, axes = new_figure(2, 3, width="page", aspect=0.85)

    def curves(ax: Axes, task_set: str, y: str, which: list[str]) -> None:
        for name in which:
            rows = table[(table.method == name) & (table.task_set == task_set) & (table.step > 0)]
            band.seeds(ax, rows, "step", y, color=colours[name], label=name, linestyle="--" if "then" in name else "-")
        ax.set(xscale="log", xlabel="step", ylabel=y)

    curves(axes[0, 0], "hard", "solved", constant)
    axes[0, 0].set(title="(a) as Fig. 2a: solved so far, hard set", ylabel="share solved at least once")
    curves(axes[0, 1], "separable", "entropy", constant)
    axes[0, 1].set(title="(b) as Fig. 2b: entropy", ylabel="entropy (nats)")
    _matrix(axes[0, 2], table)
    axes[0, 2].set_title("(c) as Fig. 3: pass@$k_{eval}$")
    annealed = [name for name in names if name == "k = 1" or name in ("k = 8",) or "then" in name]
    for ax, y, title in (
        (axes[1, 0], "pass@1", "(d) as Fig. 4: annealed, pass@1"),
        (axes[1, 1], high, f"(e) as Fig. 4: annealed, {high}"),
    ):
        curves(ax, "separable", y, annealed)
        ax.axvline(anneal_step, color="k", linestyle=":", linewidth=0.8)
        ax.set_title(title)
    curves(axes[1, 2], "hard", "pass@1", constant)
    axes[1, 2].set_title("(f) as Fig. 5: hard set, pass@1")
    handles = {
        label: h for ax in (axes[0, 0], axes[1, 0]) for h, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5)
    fig.suptitle(f"Miniature of PKPO Figures 2-5: prompts that share a distribution, $n={num_rollouts}$", fontsize=8)
    return Drawing(fig, table)
