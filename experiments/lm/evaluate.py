"""pass@k of a run's model, of any checkpoint of it, or of a model folder: ``python -m experiments.lm.evaluate``.

    python -m experiments.lm.evaluate --run=runs/gsm8k --samples=1024
    python -m experiments.lm.evaluate --run=runs/gsm8k --model=SmolLM2-360M-Instruct --samples=4096 --norms=64
    python -m experiments.lm.evaluate --model=runs/demo/maxrl/model --size=9 --samples=1024

The run's config says which problems are held out and how answers are sampled and judged; without a run, the model's
folder and the flags do (mazes: --size, --held_out_seed and --held_out are those its training held out, where its
held_out.json says so). ``--config.FIELD=VALUE`` sets any other field.

Samples are drawn in rounds. After each one the counts are appended to evaluation.jsonl in --out (by default a folder
in the model's): the same command again continues after the last round, a larger --samples adds rounds, and neither
changes the samples there. --norms adds the gradient norm of each of the first problems against its pass rate, as
gradient_norms.csv (MaxRL Figure 6). Ends in a table, whose numbers summary.json keeps beside the counts.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import pandas as pd

import configs
from experiments.lm import counts, gradient_norms
from experiments.lm.check import check_all_but_estimator, estimator_phases
from experiments.lm.setup import SHAPE, Setup, num_eval_key
from experiments.lm.tasks import table
from maxrl_jax import advantages
from maxrl_jax.errors import ConfigError, as_config_error
from maxrl_jax.lm import decoder
from maxrl_jax.runs.command_line import Parser, exit_with, path
from maxrl_jax.runs.config import fields, load, saved
from maxrl_jax.runs.config.override import key_of, override, split_arguments
from maxrl_jax.runs.folder import digest, inputs

NORMS = "gradient_norms.csv"
METHODS = ("maxrl", "grpo", "rloo")
"""Estimators whose gradients are measured, beside the run's own."""

INPUTS = ("model.init_from", "data.eval", "data.eval_layout", "verifier.grade", "task")
"""Fields that name files or code which an evaluation depends on."""

FIELDS = {
    "data": "data.eval",
    "temperature": "eval.temperature",
    "top_p": "eval.top_p",
    "size": "maze.size",
    "held_out": "maze.num_held_out",
    "held_out_seed": "eval.seed",
    "reward": "maze.reward",
    "length": "maze.answer_length",
}
"""Flags that stand for a field of the config."""


def parser() -> Parser:
    """The command's flags."""
    flags = Parser("python -m experiments.lm.evaluate", __doc__)
    flags.add_argument("--run", type=path, help="folder of a run, whose config is used")
    flags.add_argument("--model", type=path, help="folder in Hugging Face's format; by default the run's own model")
    flags.add_argument("--prompts", "--mazes", type=int, help="held-out prompts evaluated; mazes without a run: 256")
    counts.add_flags(flags)
    for name, field in FIELDS.items():
        flags.add_argument(f"--{name}", help=f"the field {field}; by default as in training")
    flags.add_argument("--norms", type=int, default=0, help="problems whose gradient norms are measured (0)")
    return flags


def evaluate(arguments: Sequence[str]) -> dict[str, Any]:
    """Draws the samples that are missing, and returns the metrics of `maxrl_jax.lm.evaluation.summary`.

    Raises:
        ConfigError: a flag is wrong, or the folder holds counts of other settings.
    """
    options, config = settings_of(arguments)
    check_all_but_estimator(config)
    setup = table.set_up(config)
    try:
        params = setup.init_params()
        name = "evaluation" if options.run else f"evaluation_{config.maze.size}"
        folder = options.out or Path(config.model.init_from) / name
        drawn = counts.Counts(folder, _settings(options, setup), _inputs(setup))
        drawn.draw(functools.partial(setup.sampler(options.round), params), options)
        if options.norms:
            norms(setup, params, options.norms).to_csv(folder / NORMS, index=False)
        return drawn.summarised(options.samples, setup.task.measures, setup.task.groups[: len(setup.held_out)])
    finally:
        setup.task.close()


def settings_of(arguments: Sequence[str]) -> tuple[argparse.Namespace, Any]:
    """The flags, and the config they stand for: the run's, fields that are newer than the run at their defaults."""
    _, overrides, others = split_arguments(arguments)
    options = parser().read(others)
    config = _of_run(options.run) if options.run else load.read(_path("configs/maze.py"))
    if options.round is None:
        options.round = table.row(config).round
    counts.check_flags(options)
    for name, field in {**FIELDS, "prompts": f"eval.{num_eval_key(config)}"}.items():
        given = getattr(options, name)
        if given is not None:
            fields.existing(config, field)
            overrides.append(f"--config.{field}={given}")
    config = override(config, overrides)
    folder = options.model or (options.run / "model" if options.run else None)
    if folder is None:
        raise ConfigError("--run", None, "the folder of a run, or --model", shown="nothing")
    with config.unlocked():
        config.model.init_from = str(folder)
        config.checkpoint.init_from = ""
        config.rl.rollouts = ""  # the counts are of answers that our own engine draws
        shape = as_config_error("--model", str(folder), lambda: decoder.read_config(folder))
        for name in SHAPE:
            config.model[name] = getattr(shape, name)
        if not options.run:
            table.row(config).for_model(config, folder, [key_of(argument) for argument in overrides])
    return options, config


def _of_run(folder: Path) -> Any:
    file = folder / "config.json"
    if not file.is_file():
        raise ConfigError("--run", str(folder), "the folder of a run (it has no config.json)")
    before = json.loads(file.read_text())
    return saved.over(load.read(_path(table.row(before).config_file)), before)


def _path(config_file: str) -> str:
    return str(Path(configs.__file__).parents[1] / config_file)


def norms(setup: Setup, params: Any, num_prompts: int) -> pd.DataFrame:
    """Pass rate and gradient norms of the first held-out problems, one row each: pass_rate, and one column a method."""
    [(_, own), *_] = estimator_phases(setup.config, setup.task)
    named = {name: advantages.get(name) for name in METHODS} | {own.name: own}
    rates, found = gradient_norms.norms(setup, params, list(named.values()), num_prompts, setup.config.rl.num_rollouts)
    return pd.DataFrame({"pass_rate": rates, **dict(zip(named, found.T, strict=True))})


def _settings(options: argparse.Namespace, setup: Setup) -> dict[str, Any]:
    """All that the counts depend on."""
    sampling = setup.eval_sampling
    return {
        **setup.row.evaluation_key(setup.config),
        "prompts": len(setup.held_out),
        "seed": options.seed,
        "round": options.round,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "length": sampling.max_new_tokens,
        "compute_dtype": str(jax.numpy.dtype(setup.policy.dtype)),
    }


def _inputs(setup: Setup) -> dict[str, str]:
    """Digests of the weights, tokenizer and template, of data and judge, and of the held-out prompts themselves."""
    found = inputs.digests(fields.to_dict(setup.config))
    digests = {f"{key}/{name}": value for key in INPUTS if key in found for name, value in found[key].items()}
    prompts = jax.device_get((setup.held_out.tokens, setup.held_out.lengths))
    return digests | {"held-out prompts": digest.params_sha256(prompts)[:16]}


def main(arguments: Sequence[str]) -> None:
    """The command."""
    counts.show(evaluate(arguments), "held-out prompts")


if __name__ == "__main__":
    exit_with(main)
