"""Writes the estimator explorer: one HTML file with its tables, code and style, which fetches nothing.

python -m docs.explorer.build [--out=explorer.html]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import jinja2

from docs.explorer import tables

FOLDER = Path(__file__).parent

STYLES = ("vendor/uPlot.min.css", "style.css")

SCRIPTS = (
    "vendor/uPlot.iife.min.js",
    "mathematics.js",  # the formulas, from tables alone
    "settings.js",  # the settings (estimators, N, p, ...) and their form in the address
    "plots.js",  # one look for uPlot
    "panels.js",  # the charts and the numbers under them
    "rewards.js",  # real rewards, dragged on a line
    "controls.js",  # the estimators' cards and all other inputs
    "main.js",
)


def render() -> str:
    """The page as HTML."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=True, keep_trailing_newline=True)
    template = environment.from_string((FOLDER / "page.html").read_text(encoding="utf-8"))
    exported = tables.export()
    data = json.dumps(exported, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    left_out = ", ".join(exported["left_out"])
    return template.render(data=data, left_out=left_out, styles=_read(STYLES), scripts=_read(SCRIPTS))


def _read(names: tuple[str, ...]) -> list[str]:
    return [(FOLDER / name).read_text(encoding="utf-8") for name in names]


def main(arguments: list[str] | None = None) -> int:
    """Writes the file; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m docs.explorer.build", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("explorer.html"), help="the file to write")
    out = parser.parse_args(arguments).out
    text = render()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        print(f"error: --out: got {out}, allowed is a file that can be written ({error.strerror})", file=sys.stderr)
        return 2
    print(f"{out}: {len(text) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
