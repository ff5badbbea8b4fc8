"""MaxPO Figures 6 and 7: the corridor, and each method in it.

The published text lost most constants of this experiment; those of configs/corridor.py are ours, so the curves are
to be compared in kind, not in number.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from configs.corridor import get_config
from experiments.corridor import __main__ as driver
from experiments.figures.registry import Context, Skipped, figure
from experiments.results import folders
from experiments.results.band import band
from experiments.results.drawing import Drawing
from experiments.results.folders import RunFolder
from experiments.results.spread import spread
from experiments.results.style import COLOURS, LABELS, legend, new_figure

# Action 1 is drawn as a step to the right, action 0 as a step up.
STEPS = np.array([[0, 1], [1, 0]])


def _cells(right_action: np.ndarray) -> np.ndarray:
    """Position [S + 1, 2] of every state on the right path, and of the goal."""
    return np.concatenate([[[0, 0]], np.cumsum(STEPS[right_action], axis=0)])


def _wrong_branches(right_action: np.ndarray, second_step: np.ndarray) -> tuple[list[Any], list[Any]]:
    """Segments of the mistakes, one from each state: (over at once, over one decision later)."""
    start, away = _cells(right_action)[:-1], STEPS[1 - right_action]
    # A branch stops short of the neighbouring cell, so that it is not taken for a way back to the path.
    at_once = [(a, a + 0.35 * d) for a, d in zip(start[~second_step], away[~second_step], strict=True)]
    later = [(a, a + 0.7 * d) for a, d in zip(start[second_step], away[second_step], strict=True)]
    return at_once, later


def _draw_corridor(ax: Axes, right_action: np.ndarray, second_step: np.ndarray, count: int) -> None:
    cells = _cells(right_action)[: count + 1]
    at_once, later = _wrong_branches(right_action[:count], second_step[:count])
    width = 1.2 if count < 200 else 0.4
    for segments, colour, words in (
        (at_once, "0.55", "mistake: over at once"),
        (later, COLOURS["grpo"], "mistake: over one decision later"),
    ):
        ax.add_collection(LineCollection(segments, colors=colour, linewidths=width, label=words))
    ax.plot(*cells.T, color=COLOURS["maxrl"], linewidth=1.5 * width + 0.3, label="right path")
    ax.plot(*cells[0], "o", color="k", markersize=3)
    ax.set(aspect="equal", xlabel="steps by action 1", ylabel="steps by action 0")
    ax.autoscale_view()


@figure("maxpo_fig6", title="MaxPO Figure 6: the corridor, with the right path in red")
def maxpo_fig6(context: Context) -> Drawing:
    """The whole layout of the paper variant, and its first 60 states."""
    layout = driver.layout(get_config("paper"))
    right_action, second_step = np.asarray(layout.right_action), np.asarray(layout.second_step)
    num_states = len(right_action)
    fig, (top, bottom) = new_figure(2, 1, width="page", aspect=0.34)
    _draw_corridor(top, right_action, second_step, num_states)
    _draw_corridor(bottom, right_action, second_step, 60)
    top.plot(*_cells(right_action)[-1], "*", color=COLOURS["maxrl"], markersize=7)
    top.set_title(f"all {num_states:,} states; action 1 is right in {right_action.sum()}")
    bottom.set_title("the first 60 states")
    legend(fig, bottom, 3)
    state = np.arange(num_states)
    position = _cells(right_action)[:-1]
    columns = {"state": state, "right_action": right_action, "second_step": second_step}
    return Drawing(fig, pd.DataFrame({**columns, "x": position[:, 0], "y": position[:, 1]}))


@figure("maxpo_fig7", title="MaxPO Figure 7: return, bias probability and variance ratio over N")
def maxpo_fig7(context: Context) -> Drawing:
    """Mean and standard error over seeds, from the last corridor run given, else from a small run made now."""
    run = _given(context.runs)
    table, settings = (_read(run), _settings(run)) if run else _fresh(context.quick, context.seed)
    sizes = sorted(table.num_rollouts.unique())
    aspect = 0.8 if len(sizes) > 2 else 0.45
    fig, axes = new_figure(3, len(sizes), width="page", aspect=aspect, sharex=True, sharey="row", squeeze=False)
    for column, size in zip(axes.T, sizes, strict=True):
        for ax, measure in zip(column, MEASURES, strict=True):
            _draw_curves(ax, table[(table.num_rollouts == size) & (table.measure == measure)], settings)
        column[0].set_title(f"$N={size}$ episodes a step")
        column[2].axhline(1, color="k", linewidth=0.6)
        column[2].set_xlabel("iteration")
    for ax, words in zip(axes[:, 0], MEASURES.values(), strict=True):
        ax.set_ylabel(words)
    ticks = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
    axes[1, 0].set(yscale="logit", ylim=(0.45, 0.998))
    axes[1, 0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes[1, 0].set_yticks([], minor=True)
    legend(fig, axes[0, 0], 4)
    return Drawing(fig, table)


MEASURES = {
    "return": "expected return",
    "bias_probability": "bias P(action 1)",
    "variance_ratio": "var. MaxPO / EI",
}


def _draw_curves(ax: Axes, table: pd.DataFrame, settings: dict[str, Any]) -> None:
    """One line a method: mean over seeds, band of one standard error."""
    looks = _looks(settings)
    for method in settings:
        rows = table[table.method == method].pivot_table(index="step", columns="seed", values="value")
        if rows.empty:
            continue
        colour, line, label = looks[method]
        mean, error, _ = spread(rows, axis=1)
        band(ax, rows.index, mean, error, linestyle=line, color=colour, label=label)


def _looks(settings: dict[str, Any]) -> dict[str, tuple[Any, str, str]]:
    """Colour, line and label of every method: a colour a k, black without; solid for MaxPO, dashed for EI."""
    orders = sorted({method["advantage"]["k"] for method in settings.values()} - {None})
    colours = dict(zip(orders, mpl.colormaps["viridis_r"](np.linspace(0.15, 0.9, len(orders))), strict=True))
    looks = {}
    for name, method in settings.items():
        estimator, k, entropy = method["advantage"]["name"], method["advantage"]["k"], method["entropy_coef"]
        words = [LABELS[estimator]] + ([f"$k={k}$"] if k else []) + ([f"entropy {entropy:g}"] if entropy else [])
        dashed = bool(entropy) or estimator == "expected_improvement"
        looks[name] = (colours.get(k, "0.6" if entropy else "k"), "--" if dashed else "-", ", ".join(words))
    return looks


def _given(runs: Iterable[Path]) -> RunFolder | None:
    """The last of the runs given that is a corridor's."""
    found = [run for run in (folders.find(runs) if runs else ()) if "corridor" in run.config]
    return found[-1] if found else None


def _settings(run: RunFolder) -> dict[str, Any]:
    """The methods of a run, without a bias first."""
    methods = run.config["methods"]
    order = ("rloo", "expected_improvement", "maxpo")
    place = {name: i for i, name in enumerate(order)}
    return dict(
        sorted(
            methods.items(),
            key=lambda entry: (place.get(entry[1]["advantage"]["name"], len(order)), entry[1]["advantage"]["k"] or 0),
        )
    )


def _read(run: RunFolder) -> pd.DataFrame:
    """The per-seed curves of a run: measure, method, num_rollouts, step, seed, value."""
    rows = []
    for record in run.records:
        for name, values in record.items():
            prefix, _, rest = name.partition("/")
            measure, _, rest = rest.partition("/")
            method, _, size = rest.rpartition("/N")
            if prefix in ("train", "eval") and measure in MEASURES and size.isdigit():
                rows += [
                    (measure, method, int(size), record["step"], seed, np.nan if value is None else value)
                    for seed, value in enumerate(values)
                ]
    if not rows:
        raise Skipped(f"{run.folder} has no curves of the corridor yet")
    return pd.DataFrame(rows, columns=["measure", "method", "num_rollouts", "step", "seed", "value"])


@functools.lru_cache(maxsize=2)
def _fresh(quick: bool, seed: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The curves of a run made now: 300 steps, or all 3,000 with fewer methods and N than `paper`."""
    config = get_config("tiny")
    config.seed = seed
    config.wandb.mode = "disabled"
    config.log.every_steps = 10
    if not quick:
        config.rl.steps, config.rl.steps_per_call = 3000, 500
        config.rl.num_rollouts = (16, 64)
        config.variance.every_steps, config.variance.num_batches = 250, 256
    with tempfile.TemporaryDirectory() as folder:
        driver.run(config, folder)
        run = folders.read(folder)
        return _read(run), _settings(run)
