"""The language-model driver: ``python -m experiments.lm --config=configs/FILE.py:VARIANT --workdir=DIR``.

``python -m experiments.maze`` and ``python -m experiments.llm`` are the same command.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

import jax

from experiments.lm import blocks, training
from experiments.lm.check import check, estimator_phases
from experiments.lm.tasks import table
from maxrl_jax.devices import sharding
from maxrl_jax.runs import launch
from maxrl_jax.runs.folder.run import open_run


def run(config: Any, workdir: str | os.PathLike) -> dict[str, Any]:
    """Fine-tunes where asked, then trains by RL, evaluating on the way; what notebooks call.

    Args:
      config: a config of configs/maze.py or configs/llm.py, checked.
      workdir: the run's folder; the same again resumes it.

    Returns:
      The final record: ``final/params_sha256``.
    """
    with open_run(config, workdir, table.run_name(config)) as opened, contextlib.ExitStack() as ends:
        setup = table.set_up(config)
        ends.callback(setup.task.close)
        for line in setup.notes():
            opened.say(line)
        params = setup.init_params()
        if config.sft.steps:
            params = training.run_sft(opened, setup, params)
        state = training.run_rl(opened, setup, params, estimator_phases(config, setup.task))
        setup.save(state["params"], opened.path / "model")
        if setup.row.finish:
            params = jax.tree.map(sharding.to_host, state["params"])
            if jax.process_index() == 0:
                setup.row.finish(opened, setup, params)
        if jax.process_index() == 0:
            (opened.path / blocks.FOLDER).rmtree(missing_ok=True)
        return opened.finish(state["params"])


if __name__ == "__main__":
    launch.main(run, check, config_file="configs/llm.py")
