"""The studies that end in tables: runs them in a run folder, writes CSV, figures and metrics.jsonl."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.bandit import comparison, draw_comparison, draw_stories, maxpo, pkpo, two_rewards
from experiments.figures import style
from experiments.figures.registry import Drawing
from maxrl_jax.runs.folder.run import Run


def save(run: Run, name: str, draw: Callable[..., Drawing], *tables: Any) -> None:
    """Draws `draw(*tables)` and writes it as figures/NAME.png, .svg and .csv."""
    with style.settings():
        drawing = draw(*tables)
        for suffix in ("png", "svg"):
            with (run.figures / f"{name}.{suffix}").open("wb") as file:
                drawing.fig.savefig(file, format=suffix, metadata={"Date": None} if suffix == "svg" else None)
    write(run, f"figures/{name}.csv", drawing.data)
    run.say(f"{run.figures / name}.png, .svg, .csv")


def write(run: Run, name: str, table: pd.DataFrame) -> None:
    """Writes a table into the run folder."""
    (run.path / name).write_text(table.to_csv(index=False))


def log_curves(
    run: Run, table: pd.DataFrame, by: Sequence[str], skip: Sequence[str] = ("seed", "num_rollouts")
) -> None:
    """One metrics line a step: the mean over seeds of every column, named eval/BY.../COLUMN."""
    means = (
        table.drop(columns=[c for c in skip if c in table]).groupby([*by, "step"], sort=False).mean(numeric_only=True)
    )
    lines: dict[int, dict[str, float]] = {}
    for index, row in means.iterrows():
        *names, step = index
        prefix = "eval/" + "/".join(str(name).replace(" ", "_") for name in names)
        lines.setdefault(int(step), {}).update({f"{prefix}/{key}": float(value) for key, value in row.items()})
    run.log_many(sorted(lines.items()))


def compare(run: Run, config: Any) -> comparison.Runs:
    """Study compare: curves.csv, final.csv, strata.csv and two figures."""
    run.progress.begin("compare", 0, 1 + len(config.compare.num_rollouts))
    found = comparison.run(config, lambda done, total, label: run.progress.update(done, total, {}))
    run.progress.end()
    curves, final, strata = comparison.curves(found), comparison.final(found), comparison.strata(found)
    for name, table in {"curves": curves, "final": final, "strata": strata}.items():
        write(run, f"{name}.csv", table)
    log_curves(run, curves, ("label", "gradients"))
    save(run, "comparison", draw_comparison.draw_comparison, curves, final)
    save(run, "strata", draw_comparison.draw_strata, strata)
    run.finish(found.params)
    return found


def story_of_k(run: Run, config: Any) -> pkpo.Runs:
    """Study pkpo: curves.csv and one figure."""
    run.say("training every k on every task set")
    found = pkpo.run(config)
    table = pkpo.table(found, config.pkpo.k_eval)
    write(run, "curves.csv", table)
    log_curves(run, table, ("task_set", "method"))
    save(run, "pkpo_miniature", draw_stories.draw_pkpo, table, config.pkpo.anneal_step)
    run.finish(found.params)
    return found


def combining_rewards(run: Run, config: Any) -> two_rewards.Runs:
    """Study two_rewards: curves.csv and one figure."""
    run.say("training every way to combine two rewards")
    found = two_rewards.run(config)
    table = two_rewards.table(found)
    write(run, "curves.csv", table)
    log_curves(run, table, ("way", "kind"))
    save(run, "two_rewards", draw_stories.draw_two_rewards, table)
    run.finish(found.logits)
    return found


def bias_and_variance(run: Run, config: Any) -> dict[str, pd.DataFrame]:
    """Study maxpo: a table for each part and the three figures. Nothing is trained: the digest is of the numbers."""
    from experiments.figures import bandit

    parts = {
        "error": maxpo.error_table,
        "variance_over_actions": maxpo.variance_over_actions,
        "variance_over_k": maxpo.variance_over_k,
    }
    tables = {}
    run.progress.begin("maxpo", 0, len(parts))
    for done, (name, part) in enumerate(parts.items(), start=1):
        tables[name] = part(config)
        write(run, f"{name}.csv", tables[name])
        run.progress.update(done, len(parts), {})
    run.progress.end()
    means = tables["error"].groupby(["batches", "estimator"], sort=False)["error"].mean()
    run.log_many(
        [
            (int(batches), {f"eval/error/{name}": float(value) for (_, name), value in group.items()})
            for batches, group in means.groupby(level=0)
        ]
    )
    save(run, "maxpo_fig1", bandit.draw_figure_1, *tables.values(), config.arms.error_rollouts)
    save(run, "maxpo_fig4", bandit.draw_variance, tables["variance_over_actions"], "actions")
    save(run, "maxpo_fig5", bandit.draw_variance, tables["variance_over_k"], "k")
    run.finish({name: np.asarray(table.select_dtypes("number")) for name, table in tables.items()})
    return tables
