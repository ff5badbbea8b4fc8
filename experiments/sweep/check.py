"""The driver's whole check of every combination of a sweep, before any of its runs starts.

It runs in a process of its own: a check may ask how many devices there are, and a sweep that held them would leave
none to its runs.
"""

import importlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from maxrl_jax.errors import ConfigError
from maxrl_jax.runs import launch
from maxrl_jax.runs.config import fields


def check(module: str, commands: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """Checks every run of a sweep, command-line arguments by name, as its driver will; returns their configs.

    Raises:
        ConfigError: the first thing that is wrong, with the name of its run.
        RuntimeError: the check itself failed; the message is its traceback.
    """
    ended = subprocess.run(
        [sys.executable, "-m", "experiments.sweep.check", module],
        input=json.dumps(commands), env=dict(environment), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ended.returncode:
        raise RuntimeError(f"the check of {module} failed:\n{ended.stderr.strip()}")
    answer = json.loads(ended.stdout.splitlines()[-1])
    if "error" in answer:
        key, got, allowed = answer["error"]
        raise ConfigError(key, None, allowed, shown=got)
    return answer["configs"]


def main(module: str) -> None:
    """Reads the commands from standard input; the last line of the output is the answer, as JSON."""
    driver = _driver(module)
    configs = []
    for name, arguments in json.load(sys.stdin).items():
        try:
            config, *_ = launch.parse(arguments)
            driver.check(config)
        except ConfigError as error:
            print(json.dumps({"error": [error.key, error.shown, f"{error.allowed} (in the run {name})"]}))
            return
        configs.append(fields.to_dict(config))
    print(json.dumps({"configs": configs}))


def _driver(module: str) -> Any:
    """The module in which a driver's ``check`` is: itself, or the ``__main__`` of its package."""
    found = importlib.import_module(module)
    return importlib.import_module(f"{module}.__main__") if hasattr(found, "__path__") else found


if __name__ == "__main__":
    main(sys.argv[1])
