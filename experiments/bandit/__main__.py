"""The bandit studies: ``python -m experiments.bandit --config=configs/bandit.py:VARIANT --workdir=DIR``.

Each study is a module or a folder here; a variant is of one study and its config has that study's fields alone.
"""

from __future__ import annotations

from typing import Any

from experiments.bandit import compare, graded, pkpo, regimes, split, train, two_rewards, verifier
from experiments.bandit.frame import Study
from experiments.bandit.maxpo import study as maxpo
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs import launch
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.folder.run import open_run

STUDIES: dict[str, Study] = {
    "train": train.STUDY,
    "compare": compare.STUDY,
    "pkpo": pkpo.STUDY,
    "two_rewards": two_rewards.STUDY,
    "graded": graded.STUDY,
    "verifier": verifier.STUDY,
    "split": split.STUDY,
    "maxpo": maxpo.STUDY,
    "regimes": regimes.STUDY,
}


def check(config: Any) -> None:
    """Checks a config of configs/bandit.py.

    Raises:
      ConfigError: naming the field, the value given and the values allowed.
    """
    chosen = STUDIES[checks.one_of(config, "study", STUDIES)]
    if any(group not in config for group in chosen.groups):
        own = [name for name, study in STUDIES.items() if all(group in config for group in study.groups)]
        raise ConfigError("study", config.study, f"{' or '.join(own)}: another study is another variant of the config")
    chosen.check(config)


def run(config: Any, workdir: str) -> Any:
    """Runs the config's study in a folder; notebooks call it.

    Returns:
      The final record of a `train` study; the tables of the others.
    """
    with open_run(config, workdir, "bandit") as opened:
        return STUDIES[config.study].run(opened, config)


if __name__ == "__main__":
    launch.main(run, check, config_file="configs/bandit.py")
