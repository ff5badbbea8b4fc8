"""pass@k of a run's model, or of any checkpoint of it: ``python -m experiments.llm.evaluate --run=DIR``.

    python -m experiments.llm.evaluate --run=runs/gsm8k --samples=1024
    python -m experiments.llm.evaluate --run=runs/gsm8k --model=SmolLM2-360M-Instruct --samples=4096 --norms=64

The run's config says what the problems are and how answers are drawn and judged. Samples are drawn in rounds; after
each one the counts are appended to evaluation.jsonl in --out (by default evaluation in the model's folder): the same
command again goes on after the last round, a larger --samples adds rounds, and neither changes what was drawn. --norms
adds the gradient norm of each of the first problems against its pass rate, as gradient_norms.csv (MaxRL Figure 6).
Ends in a table, whose numbers summary.json keeps beside the counts.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Sequence
from typing import Any

import pandas as pd
from ml_collections import ConfigDict

from configs.llm import get_config
from experiments.llm.checks import check, estimator_phases
from experiments.llm.problem import Problem
from experiments.lm_driver import counts, gradient_norms
from experiments.lm_driver.evaluation import make_sampler
from maxrl_jax import advantages
from maxrl_jax.runs.command_line import Parser, path, say_error
from maxrl_jax.runs.config import saved

NORMS = "gradient_norms.csv"
METHODS = ("maxrl", "grpo", "rloo")
"""Whose gradients are measured; the run's own joins them."""


def parser() -> Parser:
    """The command's flags."""
    flags = Parser("python -m experiments.llm.evaluate", __doc__)
    flags.add_argument("--run", type=path, required=True, help="folder of a run, whose config is used")
    flags.add_argument("--model", type=path, help="folder in Hugging Face's format; by default the run's own model")
    flags.add_argument("--data", type=path, help="another file of problems than data.eval (task mathematics)")
    flags.add_argument("--prompts", type=int, help="problems evaluated; by default the run's eval.num_prompts")
    counts.add_flags(flags, "problem")
    flags.add_argument("--temperature", type=float, help="by default the run's eval.temperature; 0 is greedy")
    flags.add_argument("--top_p", type=float, help="by default the run's eval.top_p")
    flags.add_argument("--norms", type=int, default=0, help="problems whose gradient norms are measured (0)")
    return flags


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Draws what is missing, and returns the metrics of `maxrl_jax.lm.evaluation.summary`.

    Raises:
        ValueError: a flag is wrong, or the folder holds counts of other settings.
    """
    counts.check_flags(options)
    folder = options.model or options.run / "model"
    config = settings_of(options)
    check(config)
    problem = Problem.make(config)
    try:
        params = problem.init_params()
        drawn = counts.Counts(options.out or folder / "evaluation", _what_counts_depend_on(options, problem))
        drawn.draw(functools.partial(make_sampler(problem, options.round, entropy=True), params), options)
        if options.norms:
            norms(problem, params, options.norms).to_csv((options.out or folder / "evaluation") / NORMS, index=False)
        return drawn.summarised(options.samples, problem.task.measures)
    finally:
        problem.task.close()


def settings_of(options: argparse.Namespace) -> ConfigDict:
    """The run's config, with what the flags say instead; fields that are newer than the run have their defaults."""
    file = options.run / "config.json"
    if not file.is_file():
        raise ValueError(f"--run: got {options.run}, allowed: the folder of a run (it has no config.json)")
    config = saved.over(get_config(), json.loads(file.read_text()))
    config.model.init_from = str(options.model or options.run / "model")
    config.checkpoint.init_from = ""
    if options.data:
        config.data.eval = str(options.data)
    if options.prompts is not None:
        config.eval.num_prompts = options.prompts
    for name in ("temperature", "top_p"):
        if getattr(options, name) is not None:
            config.eval[name] = getattr(options, name)
    return config


def norms(problem: Problem, params: Any, num_prompts: int) -> pd.DataFrame:
    """Pass rate and gradient norms of the first held-out problems, one row each: pass_rate, and one column a method."""
    [(_, own), *_] = estimator_phases(problem.config, problem.task)
    named = {name: advantages.get(name) for name in METHODS} | {own.name: own}
    rates, found = gradient_norms.norms(
        problem, params, list(named.values()), num_prompts, problem.config.rl.num_rollouts
    )
    return pd.DataFrame({"pass_rate": rates, **dict(zip(named, found.T, strict=True))})


def _what_counts_depend_on(options: argparse.Namespace, problem: Problem) -> dict[str, Any]:
    settings = problem.eval_sampling
    return {
        "task": problem.config.task, "data": problem.config.data.eval, "prompts": len(problem.held_out),
        "seed": options.seed, "round": options.round, "temperature": settings.temperature, "top_p": settings.top_p,
        "length": settings.max_new_tokens,
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    try:
        counts.show(evaluate(parser().read(arguments)), "held-out problems")
    except ValueError as error:
        sys.exit(say_error(error, 2))


if __name__ == "__main__":
    main()
