"""Gradient norms of single images at a checkpoint, for any losses (MaxRL Figure 8).

    python -m experiments.imagenet.measure_norms --run=DIR --method=cross_entropy --method=maxrl --method="maxpo(k=16)"

Writes a CSV, one row for each image and loss, by default to DIR/figures/gradient_norms.csv, where the figure maxrl_fig8
reads it. A run itself writes the norms of its own loss at eval.gradient_norm_step.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from pathlib import Path
from typing import Any

from experiments.imagenet import gradient_norms
from experiments.imagenet.problem import Problem
from experiments.results import folders
from experiments.results.image_runs import GRADIENT_NORMS
from maxrl_jax import advantages
from maxrl_jax.categorical import SAMPLINGS
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.folder import checkpoint
from maxrl_jax.runs.folder.stopping import CheckpointError


def main(arguments: list[str] | None = None) -> int:
    """Computes and writes the table; returns the exit status (2 for a wrong command line)."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.imagenet.measure_norms", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--run", required=True, type=Path, help="a run folder")
    parser.add_argument("--checkpoint", default="", help="one checkpoint, DIR/checkpoints/STEP; the newest by default")
    parser.add_argument("--method", action="append", help="cross_entropy or an estimator, NAME or NAME(k=4); repeat")
    parser.add_argument("--num_rollouts", type=int, default=0, help="N; the run's by default")
    parser.add_argument("--sampling", default="", choices=("", *SAMPLINGS), help="the run's by default")
    parser.add_argument("--num_images", type=int, default=1000, help="random validation images")
    parser.add_argument("--out", type=Path, default=None, help="the CSV; RUN/figures/gradient_norms.csv by default")
    options = parser.parse_args(arguments)
    try:
        config = run_config(options.run)
        config.eval.gradient_norm_images = options.num_images
        n = options.num_rollouts or config.loss.num_rollouts
        sampling = options.sampling or config.loss.sampling
        methods = options.method or ["cross_entropy", "maxrl", "grpo", "mean_baseline"]
        chosen = [gradient_norms.make_loss(estimator(method, n), n, sampling) for method in methods]
        problem = Problem.make(config)
        state, step = restore(problem, options.checkpoint or str(options.run))
    except (ConfigError, CheckpointError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    out = options.out or options.run / "figures" / GRADIENT_NORMS
    gradient_norms.table(problem, state, chosen, step).to_csv(out, index=False)
    print(f"{out}: {options.num_images} images, {', '.join(loss.name for loss in chosen)}, step {step}")
    return 0


def run_config(folder: Path) -> Any:
    """The config of a run folder of this driver, for the devices there are now."""
    from ml_collections import ConfigDict

    fields = folders.read(folder).config
    if "loss" not in fields:
        raise ConfigError("--run", str(folder), "a run folder of experiments.imagenet")
    config = ConfigDict(fields)
    config.mesh.fsdp = 1
    return config


def estimator(text: str, num_rollouts: int) -> Any:
    """The estimator written NAME or NAME(key=value, ...); None for cross_entropy.

    Raises:
        ValueError: no such estimator, or it is not defined at N.

    Example:
        >>> str(estimator("maxpo(k=4)", 8))
        'maxpo(k=4)'
    """
    if text == "cross_entropy":
        return None
    parts = re.fullmatch(r"([^()]+)(?:\((.*)\))?", text)
    if not parts:
        raise ValueError(f"--method: got {text!r}, allowed: NAME or NAME(key=value, ...)")
    try:
        call = ast.parse(f"f({parts[2] or ''})", mode="eval").body
        hyper = {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in call.keywords}  # type: ignore
    except (SyntaxError, ValueError):
        raise ValueError(f"--method: got {text!r}, allowed: NAME or NAME(key=value, ...)") from None
    chosen = advantages.get(parts[1], **hyper)
    chosen.check(num_rollouts)
    return chosen


def restore(problem: Problem, path: str) -> tuple[dict[str, Any], int]:
    """({"params", "batch_stats"}, step) of a run folder's newest checkpoint, or of one given."""
    saved = checkpoint.read_given(path)
    params, stats = problem.init()
    like = {"params": params, "batch_stats": stats}
    return checkpoint.place(saved.leaves, like, f"checkpoint {path}"), saved.position["train"]


if __name__ == "__main__":
    sys.exit(main())
