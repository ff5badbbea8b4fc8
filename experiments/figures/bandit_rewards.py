"""The prompt bandit beyond 0 and 1: graded answers, a verifier that errs, a step's rollouts split P x N; regimes."""

from __future__ import annotations

from typing import Any

import pandas as pd

from configs.bandit import get_config
from experiments.bandit import graded, regimes_draw, split, verifier
from experiments.figures.registry import Context, Skipped, figure
from experiments.results.drawing import Drawing


def _config(variant: str, context: Context) -> Any:
    config = get_config(variant + ("_quick" if context.quick else ""))
    config.seed = context.seed
    return config


@figure("graded_answers", title="Answers worth 0, 1/2 or 1: TailRL and log E[g] against RLOO and GRPO")
def graded_answers(context: Context) -> Drawing:
    """TailRL leaves the half-right answer for the right one; log E[g], like RL, is content with it."""
    config = _config("graded", context)
    return graded.draw_graded(graded.curves(config, graded.train(config)))


@figure("verifier_errors", title="A verifier that errs: exact and measured weight, and what training then reaches")
def verifier_errors(context: Context) -> Drawing:
    """False negatives cost nothing but speed; false positives cap the weight at 1/a and with it the reach."""
    config = _config("verifier", context)
    weights = verifier.weights(config, config.verifier.weight_batches)
    return verifier.draw_verifier(weights, verifier.by_prompt(config, verifier.train(config)))


@figure("rollouts_split", title="A step's rollouts split P x N: distance to exact ML, its parts, and coverage")
def rollouts_split(context: Context) -> Drawing:
    """A larger N is a better objective on fewer prompts a step: see where the drawn curve turns."""
    return split.draw_split(split.final(split.train(_config("split", context))))


@figure("regimes", title="Which method is ahead over N, base pass rate, optimizer and steps", needs_runs=True)
def regimes(context: Context) -> Drawing:
    """Prompts that share features: methods tie at pass@1, and MaxRL leads at pass@16 where N p is above 1."""
    tables = [run / "ahead.csv" for run in context.runs if (run / "ahead.csv").exists()]
    if not tables:
        raise Skipped("no run of the bandit's study regimes is among the runs")
    return regimes_draw.draw_regimes(pd.read_csv(tables[0]))
