"""The bandit toys: ``python -m experiments.bandit --config=configs/bandit.py:VARIANT --workdir=DIR``."""

from __future__ import annotations

from typing import Any

from experiments.bandit import single, studies
from experiments.bandit.checks import check
from maxrl_jax.runs import launch
from maxrl_jax.runs.folder.run import open_run


def run(config: Any, workdir: str) -> Any:
    """Runs the config's study in a folder; what notebooks call.

    Returns:
      The final record of a `train` study; the results themselves of the others.
    """
    parts = {
        "train": single.train,
        "compare": studies.compare,
        "pkpo": studies.story_of_k,
        "two_rewards": studies.combining_rewards,
        "maxpo": studies.bias_and_variance,
    }
    with open_run(config, workdir, "bandit") as opened:
        return parts[config.study](opened, config)


if __name__ == "__main__":
    launch.main(run, check)
