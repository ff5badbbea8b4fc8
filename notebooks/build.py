"""Builds the notebooks: runs every percent script in a fresh kernel and writes the .ipynb with its outputs beside it.

Command, from the root of the project (about three minutes on two CPU cores)::

    python notebooks/build.py             # all of them
    python notebooks/build.py 01          # those whose names start with 01
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def scripts(prefix: str = "") -> list[Path]:
    """The percent scripts whose names start with `prefix`, sorted."""
    return sorted(path for path in FOLDER.glob("[0-9]*.py") if path.name.startswith(prefix))


def convert(script: Path) -> nbformat.NotebookNode:
    """The notebook of a percent script without outputs, with ids and metadata that are the same on every machine."""
    notebook = jupytext.read(script, fmt="py:percent")
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:02d}"
        cell.metadata = nbformat.from_dict({})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def build(script: Path) -> Path:
    """Runs a script as a notebook and writes it; an error in a cell is raised."""
    notebook = convert(script)
    client = NotebookClient(
        notebook,
        timeout=600,
        startup_timeout=600,  # a busy machine takes minutes to start a kernel
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(FOLDER)}},
    )
    client.execute()
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    target = script.with_suffix(".ipynb")
    nbformat.write(notebook, target)
    return target


def main(prefixes: list[str]) -> None:
    """Builds the notebooks with these prefixes, by default all."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    for prefix in prefixes or [""]:
        for script in scripts(prefix):
            print(build(script).name)


if __name__ == "__main__":
    main(sys.argv[1:])
