"""Draws reproduced figures as PNG, SVG and CSV.

python -m experiments.figures --figure=maxrl_fig1 --out=figures
python -m experiments.figures --figure=all --out=figures --runs=runs/maze --quick
"""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

from experiments.figures import registry
from experiments.results import style
from experiments.results.drawing import save
from maxrl_jax.runs.config.errors import ConfigError


def main(arguments: list[str] | None = None) -> int:
    """Draws what was asked for; returns the exit status (2 for a wrong command line)."""
    table = registry.load_all()
    parser = argparse.ArgumentParser(prog="python -m experiments.figures", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--figure", required=True, help="a name, several separated by commas, or all: " + ", ".join(table)
    )
    parser.add_argument("--out", required=True, type=Path, help="folder for the pictures and their numbers")
    parser.add_argument("--runs", action="append", default=[], type=Path, help="a run folder; may be repeated")
    parser.add_argument("--quick", action="store_true", help="fewer samples and points")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    names = list(table) if options.figure == "all" else options.figure.split(",")
    for name in names:
        if name not in table:
            close = difflib.get_close_matches(name, table, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            print(f"--figure: got {name!r}{hint}; allowed: all, {', '.join(table)}", file=sys.stderr)
            return 2
    missing = [str(run) for run in options.runs if not run.is_dir()]
    if missing:
        print(f"--runs: got {', '.join(missing)}, which is not a folder; allowed: run folders", file=sys.stderr)
        return 2
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"--out: cannot make the folder {options.out}: {error.strerror}", file=sys.stderr)
        return 2
    context = registry.Context(quick=options.quick, runs=tuple(options.runs), seed=options.seed)
    try:
        skipped = [name for name in names if not draw(table[name], context, options.out)]
    except ConfigError as error:  # of a run folder
        print(f"error: {error}", file=sys.stderr)
        return 2
    # Skipping is what `all` promises; a figure asked for by name that cannot be drawn is a wrong command line.
    return 2 if skipped and options.figure != "all" else 0


def draw(entry: registry.Entry, context: registry.Context, out: Path) -> bool:
    """Draws one figure into `out`; False, with the reason printed, when it needs runs that were not given."""
    if entry.needs_runs and not context.runs:
        print(f"{entry.name}: skipped, it is drawn from run folders (--runs=DIR) and none was given", file=sys.stderr)
        return False
    try:
        with style.settings():
            drawing = entry.draw(context)
    except registry.Skipped as reason:
        print(f"{entry.name}: skipped, {reason}", file=sys.stderr)
        return False
    save(drawing, out, entry.name)
    print(f"{entry.name}: {out / entry.name}.png, .svg, .csv ({entry.title})")
    return True


if __name__ == "__main__":
    sys.exit(main())
