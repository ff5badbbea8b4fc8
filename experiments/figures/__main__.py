"""Draws reproduced figures as PNG, SVG and CSV.

python -m experiments.figures --figure=maxrl_fig1 --out=figures
python -m experiments.figures --figure=all --out=figures --runs=runs/maze --quick
python -m experiments.figures --figure=all --out=figures --runs=results      # each from the runs docs/figures.md names
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.figures import catalogue, registry
from experiments.results import groups, style
from experiments.results.drawing import save
from maxrl_jax.errors import ConfigError, suggestion
from maxrl_jax.runs.command_line import Parser, path, say_error


def main(arguments: list[str] | None = None) -> int:
    """Draws the figures asked for; returns the exit status (2 for a wrong command line)."""
    table = registry.load_all()
    parser = Parser("python -m experiments.figures", __doc__)
    parser.add_argument(
        "--figure", required=True, help="a name, several separated by commas, or all: " + ", ".join(table)
    )
    parser.add_argument("--out", required=True, type=path, help="folder for the pictures and their numbers")
    parser.add_argument("--runs", action="append", default=[], type=path, help="a run folder; may be repeated")
    parser.add_argument("--quick", action="store_true", help="fewer samples and points")
    parser.add_argument("--seed", type=int, default=0)
    try:
        options = parser.read(arguments)
        names = list(table) if options.figure == "all" else options.figure.split(",")
        _check(options, names, table)
        context = registry.Context(quick=options.quick, runs=tuple(options.runs), seed=options.seed)
        skipped = [name for name in names if not draw(table[name], context, options.out)]
    except ConfigError as error:  # of the command line, or of a run folder
        return say_error(error, 2)
    # `all` may skip; a figure asked for by name that cannot be drawn is a wrong command line.
    return 2 if skipped and options.figure != "all" else 0


def _check(options: argparse.Namespace, names: Sequence[str], table: Mapping[str, registry.Entry]) -> None:
    """Checks the names and the folders; makes the one for the pictures."""
    for name in names:
        if name not in table:
            raise ConfigError("--figure", name, f"all, {', '.join(table)}{suggestion(name, table)}")
    for run in options.runs:
        if not run.is_dir():
            raise ConfigError("--runs", str(run), "a run folder that is there")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("--out", str(options.out), f"a folder that can be made ({error.strerror})") from None


def draw(entry: registry.Entry, context: registry.Context, out: Path) -> bool:
    """Draws one figure into `out`; False, with the reason printed, when it needs runs that were not given."""
    if entry.needs_runs and not context.runs:
        print(f"{entry.name}: skipped, it is drawn from run folders (--runs=DIR) and none was given", file=sys.stderr)
        return False
    try:
        with style.settings():
            drawing = entry.draw(dataclasses.replace(context, runs=catalogue.runs(entry.name, context.runs)))
    except (registry.Skipped, groups.Mixed) as reason:
        print(f"{entry.name}: skipped, {reason}", file=sys.stderr)
        return False
    save(drawing, out, entry.name)
    if drawing.text:
        print(drawing.text)
    print(f"{entry.name}: {out / entry.name}.png, .svg, .csv ({entry.title})")
    return True


if __name__ == "__main__":
    sys.exit(main())
