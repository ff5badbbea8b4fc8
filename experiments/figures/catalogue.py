"""Makes docs/figures.md, from the registry and published.toml: ``python -m experiments.figures.catalogue``."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.figures import registry

PAGE = Path(__file__).resolve().parents[2] / "docs" / "figures.md"
PUBLISHED = Path(__file__).with_name("published.toml")

_HEAD = """# Figures and tables of the papers

Made by `python -m experiments.figures.catalogue`. "Order": whether our run puts the methods in the published order
(same, another), or why that is open. Sizes, spreads and differences are in [results](../results/README.md). A command
draws into a folder; without `--runs` the figure needs no run folder, or a run of yours.
"""


def render() -> str:
    """The page.

    Raises:
        ValueError: a figure that the registry does not have.
    """
    table = registry.load_all()
    parts, used = [_HEAD], set()
    for paper, rows in _rows().items():
        parts.append(f"## {paper}\n\n| published | question | ours | command | order |\n|---|---|---|---|---|")
        for row in rows:
            names = row["figure"].split(",") if "figure" in row else []
            if unknown := sorted(set(names) - set(table)):
                raise ValueError(f"{paper} {row['item']}: figure {unknown[0]} is not in the registry")
            used.update(names)
            command = _command(",".join(names), row.get("runs", ())) if names else ""
            parts.append(f"| {row['item']} | {row['asks']} | {row['ours']} | {command} | {row['order']} |")
        parts.append("")
    own = [f"| ours | {entry.title} | | {_command(name, ())} | |" for name, entry in table.items() if name not in used]
    parts[-1:] = [*own, ""]
    return "\n".join(parts)


def runs(name: str, given: Sequence[Path]) -> tuple[Path, ...]:
    """The run folders of a figure: those of its row where they lie below a given folder, else the given ones."""
    for row in (row for rows in _rows().values() for row in rows if name in row.get("figure", "").split(",")):
        for folder in given:
            found = tuple(folder / run for run in row.get("runs", ()))
            if found and all(path.is_dir() for path in found):
                return found
    return tuple(given)


def _rows() -> dict[str, list[dict[str, Any]]]:
    return tomllib.loads(PUBLISHED.read_text(encoding="utf-8"))


def _command(names: str, runs: Any) -> str:
    return (
        f"`python -m experiments.figures --figure={names} {''.join(f'--runs=results/{run} ' for run in runs)}--out=DIR`"
    )


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
