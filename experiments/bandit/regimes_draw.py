"""Drawing of the regimes: which method is ahead over the plane of N and base pass rate."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from experiments.results.drawing import Drawing
from experiments.results.style import COLOURS, LABELS, PALETTE, new_figure


def _look(method: str) -> tuple[str, str]:
    """(colour, label)."""
    if method.endswith("_refilled"):
        return PALETTE["sky"], f"{LABELS[method.removesuffix('_refilled')]}, filtered"
    return COLOURS[method], LABELS[method]


def plane(ax: Axes, cells: pd.DataFrame) -> None:
    """One square a cell in the colour of the method ahead, pale where its lead is a tie; the number is the lead."""
    sizes, rates = (sorted(cells[key].unique()) for key in ("num_rollouts", "base_rate"))
    image = np.ones((len(rates), len(sizes), 3))
    for _, cell in cells.iterrows():
        x, y = sizes.index(cell.num_rollouts), rates.index(cell.base_rate)
        colour = np.array(colors.to_rgb(_look(cell.ahead)[0]))
        image[y, x] = 1 - (1 - colour) * (0.18 if cell.tie else 0.85)
        text = f"{cell['lead']:.2f}".removeprefix("0")
        ax.text(x, y, text, ha="center", va="center", fontsize=5, color="0.3" if cell.tie else "white")
    ax.imshow(image, origin="lower", aspect="auto")
    ax.set_xticks(range(len(sizes)), [str(n) for n in sizes])
    ax.set_yticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    ax.grid(visible=False)


def draw_regimes(ahead: pd.DataFrame, features: str = "linear") -> Drawing:
    """Optimizers down; pass@1 and pass@k after few and after many steps across. Sampled runs, the widest spread."""
    chosen = ahead[(ahead.gradients == "sampled") & (ahead.features == features)]
    chosen = chosen[chosen.spread == chosen.spread.max()]
    optimizers = list(dict.fromkeys(chosen.optimizer))
    measures = [(s, k) for k in sorted(chosen.pass_at.unique()) for s in sorted(chosen.steps.unique())]
    fig, axes = new_figure(len(optimizers), len(measures), width="page", aspect=0.75, squeeze=False)
    for i, name in enumerate(optimizers):
        for j, (steps, k) in enumerate(measures):
            ax = axes[i, j]
            plane(ax, chosen[(chosen.optimizer == name) & (chosen.steps == steps) & (chosen.pass_at == k)])
            if i == 0:
                ax.set_title(f"pass@{k}, {steps} steps")
            if i == len(optimizers) - 1:
                ax.set_xlabel("rollouts of a prompt $N$")
            if j == 0:
                ax.set_ylabel(f"{name}\nbase pass rate")
    names = list(dict.fromkeys(ahead.ahead))
    handles = [Patch(color=_look(name)[0], label=_look(name)[1]) for name in names]
    handles.append(Patch(color="0.85", label="pale: a tie"))
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return Drawing(fig, chosen)
