"""The prompt bandit at a small size, end to end: ``python -m experiments.bandit.demo --workdir=DIR``.

Ends in a table and a figure. What to look for: RLOO leaves hard prompts where they were whatever N is; MaxRL comes
closer to exact maximum likelihood with every doubling of N; sampled runs agree with the noise-free ones, so the
difference lies in the objective and not in the noise.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import configs
from experiments.bandit import compare
from experiments.bandit.__main__ import check
from experiments.results.spread import spread, with_error
from maxrl_jax.runs import launch
from maxrl_jax.runs.folder.run import open_run


def summary(final: pd.DataFrame, strata: pd.DataFrame) -> pd.DataFrame:
    """One row for each method, N and kind of gradient: means over seeds and standard errors."""
    by = ["label", "gradients", "seed"]
    hardest = strata[strata.stratum == strata.stratum.iloc[0]].set_index(by)
    final = final.assign(hardest=hardest["final pass@1"].reindex(pd.MultiIndex.from_frame(final[by])).to_numpy())
    columns = ["pass@1", "pass@32", "hardest", "distance_to_ml"]
    rows = []
    for (label, gradients), group in final.groupby(by[:2], sort=False):
        mean, error, _ = spread(group[columns])
        row = {"label": label, "method": group.method.iloc[0], "num_rollouts": group.num_rollouts.iloc[0]}
        row |= {"gradients": gradients, "seeds": len(group)}
        row |= dict(zip(columns, mean, strict=True)) | {f"{c} error": e for c, e in zip(columns, error, strict=True)}
        rows.append(row)
    return pd.DataFrame(rows)


def show(table: pd.DataFrame, stratum: str) -> None:
    """Prints the summary as a table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title="Prompt bandit after training: mean and standard error over seeds")
    for name in ("method", "N", "gradients", "pass@1", "pass@32", f"pass@1, initially {stratum}", "nats from exact ML"):
        shown.add_column(name, justify="left" if name in ("method", "gradients") else "right")
    for _, row in table.iterrows():
        exact = np.isnan(row.num_rollouts)
        cells = ["exact " + row.method if exact else row.method, "" if exact else str(int(row.num_rollouts))]
        cells.append(row.gradients)
        cells += [with_error(row[c], row[c + " error"]) for c in ("pass@1", "pass@32", "hardest", "distance_to_ml")]
        shown.add_row(*cells)
    Console(width=None if sys.stdout.isatty() else 120).print(shown)


def reading(table: pd.DataFrame, stratum: str) -> str:
    """Three sentences a newcomer should take from the table, with its numbers."""
    drawn = table[table.gradients == "sampled"]
    lines = []
    if "rloo" in set(drawn.method):
        hard = drawn[drawn.method == "rloo"].hardest
        lines.append(
            f"RLOO leaves prompts that start at {stratum} where they are: pass@1 {hard.min():.3f} to {hard.max():.3f}"
            " whatever N is. More rollouts make its gradient less noisy, not different."
        )
    if "maxrl" in set(drawn.method):
        rows = drawn[drawn.method == "maxrl"].sort_values("num_rollouts")
        sizes, far = rows.num_rollouts.astype(int).to_numpy(), rows.distance_to_ml.to_numpy()
        lines.append(
            f"MaxRL comes from {far[0]:.2f} to {far[-1]:.2f} nats from exact maximum likelihood"
            f" as N grows from {sizes[0]} to {sizes[-1]}: its objective changes with N."
        )
    both = table.dropna(subset="num_rollouts").pivot(index="label", columns="gradients", values="pass@1")
    apart = (both["sampled"] - both["expected"]).abs().max()
    lines.append(f"Sampled and noise-free runs differ by at most {apart:.3f} in pass@1: the rest is the objective.")
    return "\n".join(lines)


def run(config: Any, workdir: str) -> pd.DataFrame:
    """Trains the comparison of the config, prints the table, draws the figure; returns the table."""
    with open_run(config, workdir, "demo") as opened:
        made = compare.RUN(opened, config)
        table = summary(made["final"], made["strata"])
        (opened.path / "summary.csv").write_text(table.to_csv(index=False))
        figure = opened.figures / "comparison.png"
    stratum = made["strata"].stratum.iloc[0]
    show(table, stratum)
    print(reading(table, stratum))
    if figure.exists():
        print(f"figure: {figure}")
    return table


if __name__ == "__main__":
    file = Path(configs.__file__).parent / "bandit.py"
    launch.main(run, check, [f"--config={file}:demo", *sys.argv[1:]])
