"""The numbers of the papers, to stand beside ours: results/published.csv."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

PATH = Path(__file__).resolve().parents[2] / "results" / "published.csv"


def published(experiment: str, figure: str) -> pd.DataFrame:
    """Rows of one experiment whose figure's name contains `figure`, columns of the file."""
    table = pd.read_csv(PATH)
    return table[(table.experiment == experiment) & table.figure.str.contains(figure, regex=False)]
