"""Runs an example as a user would: from another folder, without arguments, on this copy of the library."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def run(name, *arguments, folder):
    """The output of `python examples/NAME`, started in `folder`; fails when it fails or takes four minutes."""
    # As a user has it: the tests' own compiler flags would run the example unoptimised.
    environment = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    environment |= {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    finished = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout
