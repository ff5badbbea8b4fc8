"""Figures that look into one trained maze policy: its gradients and its answers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.figures.policies.panels import records
from experiments.figures.registry import Context, Skipped, figure
from experiments.results.drawing import Drawing
from experiments.results.policy_runs import Record
from experiments.results.style import COLOURS, LABELS, new_figure


@figure("maxrl_fig6", title="Gradient norm of a maze's own estimate against its pass rate", needs_runs=True)
def maxrl_fig6(context: Context) -> Drawing:
    """Held-out mazes at the final policy of the first finished run, three objectives on the same rollouts."""
    from configs.maze import get_config
    from experiments.lm import gradient_norms
    from experiments.lm.tasks import table
    from maxrl_jax import advantages
    from maxrl_jax.runs.config import saved

    finished = [r for r in records(context, _of_mazes, "of mazes") if (r.folder / "model" / "config.json").exists()]
    if not finished:
        raise Skipped("no finished maze run with a model/ folder")
    settings = saved.over(get_config(), finished[0].config)
    settings.model.init_from = str(finished[0].folder / "model")
    setup = table.set_up(settings)
    names = ("rloo", "grpo", "maxrl")
    rates, norms = gradient_norms.norms(
        setup,
        setup.init_params(),
        [advantages.get(name) for name in names],
        min(len(setup.held_out), 32 if context.quick else 256),
        max(8, settings.rl.num_rollouts),
    )
    fig, axes = new_figure(1, 3, width="page", aspect=0.9, sharey=True)
    rows = []
    for j, (ax, name) in enumerate(zip(axes, names, strict=True)):
        ax.plot(rates, norms[:, j], "o", color=COLOURS[name], alpha=0.6, markersize=2.5)
        ax.set_title(LABELS[name])
        ax.set_xlabel("pass rate of the maze")
        rows += [
            {"method": name, "maze": i, "pass_rate": float(rates[i]), "gradient_norm": float(norms[i, j])}
            for i in range(len(rates))
        ]
    axes[0].set_ylabel("gradient norm")
    return Drawing(fig, pd.DataFrame(rows))


@figure("maxrl_fig10", title="A right and a failed answer to a held-out maze", needs_runs=True)
def maxrl_fig10(context: Context) -> Drawing:
    """Drawn from the samples that a run kept at its end: the first run with both kinds for one maze."""
    from experiments.lm.tasks import maze_pictures as pictures

    with_answers = [
        r for r in records(context, _of_mazes, "of mazes") if (r.folder / "figures" / "answers.npz").exists()
    ]
    if not with_answers:
        raise Skipped("no finished maze run with figures/answers.npz")
    kept = [dict(np.load(r.folder / "figures" / "answers.npz")) for r in with_answers]
    samples = next((s for s in kept if len(pictures.right_and_failed(s)[1]) == 2), kept[0])
    counts = pd.Series(samples["reason"].ravel()).value_counts().sort_index()
    from maxrl_jax.tasks.maze import REASONS

    data = pd.DataFrame({"outcome": [REASONS[i] for i in counts.index], "answers": counts.to_numpy()})
    return Drawing(pictures.draw_right_and_failed(samples), data)


def _of_mazes(record: Record) -> bool:
    return record.task == "maze"
