"""Writes one self-contained HTML page about one run or several.

    python -m experiments.report DIR [DIR ...] [--out=FILE.html] [--title=TEXT]

A DIR is a run folder, or a folder of run folders such as a sweep's. Several runs are drawn over each other; those
whose configs differ in the seed alone, or in the seed and the model that each seed starts from, become one line, the
mean, with a band of one standard error. Without --out the page is DIR/report.html for one DIR, report.html here for
several. Exit status 2 and one line for files that cannot be read.
"""

from __future__ import annotations

import sys
from pathlib import Path

from experiments.report import page
from experiments.results import folders
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.command_line import Parser, path, say_error


def main(arguments: list[str] | None = None) -> int:
    """Writes the page; returns the exit status."""
    parser = Parser("python -m experiments.report", __doc__)
    parser.add_argument("folders", nargs="+", type=path, metavar="DIR", help="a run folder, or a folder of run folders")
    parser.add_argument("--out", type=path, help="the file to write")
    parser.add_argument("--title", default="", help="the page's heading")
    try:
        options = parser.read(arguments)
        one = len(options.folders) == 1
        out = options.out or (options.folders[0] / "report.html" if one else Path("report.html"))
        found = folders.find(options.folders, "DIR")
        for run in found:
            if not run.records:
                raise ConfigError("DIR", str(run.folder), "a run that has logged at least one line")
        title = options.title or (options.folders[0].resolve().name if one else "")
        text = page.write(found, title)
        _write(out, text)
    except ConfigError as error:
        return say_error(error, 2)
    print(f"{out}: {len(found)} {'run' if len(found) == 1 else 'runs'}, {len(text) / 1e6:.1f} MB")
    return 0


def _write(out: Path, text: str) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError("--out", str(out), f"a file that can be written ({error.strerror})") from None


if __name__ == "__main__":
    sys.exit(main())
