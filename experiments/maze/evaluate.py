"""pass@k of any model folder on held-out mazes: ``python -m experiments.maze.evaluate --model=DIR --size=9``.

    python -m experiments.maze.evaluate --model=runs/demo/maxrl/model --samples=1024

Samples are drawn in rounds. After each one the counts are appended to evaluation.jsonl in --out (by default
evaluation_SIZE in the model's folder): the same command again goes on after the last round, a larger --samples adds
rounds, and neither changes what was drawn. --size, --held_out_seed and --held_out are those the model's training held
out, where its folder says so (held_out.json). Ends in a table, whose numbers summary.json keeps beside
the counts.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from typing import Any

from flax import nnx

from experiments.lm_driver import counts
from experiments.lm_driver.evaluation import Sampler
from experiments.maze import provenance
from maxrl_jax.lm import decoder
from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.rollout import Settings
from maxrl_jax.runs.command_line import Parser, path, say_error
from maxrl_jax.runs.devices import sharding
from maxrl_jax.runs.devices.precision import compute_dtype
from maxrl_jax.tasks.maze import task as maze_task


def parser() -> Parser:
    """The command's flags."""
    flags = Parser("python -m experiments.maze.evaluate", __doc__)
    flags.add_argument("--model", type=path, required=True, help="folder in Hugging Face's format")
    flags.add_argument("--size", type=int, help="squares a side, odd; by default the model's own")
    flags.add_argument("--mazes", type=int, default=256, help="held-out mazes evaluated (256)")
    counts.add_flags(flags, "maze")
    flags.add_argument("--held_out", type=int, help="mazes held out in all; by default as in training, else 256")
    flags.add_argument("--held_out_seed", type=int, help="which ones; by default as in training, else 0")
    flags.add_argument("--temperature", type=float, default=1.0, help="1.0; 0 is greedy")
    flags.add_argument("--top_p", type=float, default=1.0)
    flags.add_argument("--reward", default="solved", help="solved or path_quality")
    flags.add_argument("--length", type=int, default=0, help="tokens of an answer; 0: as in training")
    return flags


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Draws what is missing, and returns the metrics of `maxrl_jax.lm.evaluation.summary`.

    Raises:
        ValueError: a flag is wrong, or the folder holds counts of other settings.
    """
    counts.check_positive(options, "mazes")
    counts.check_flags(options)
    tables = provenance.read(options.model) or []
    size = options.size or (tables[-1][0] if tables else None)
    if size is None:
        raise ValueError(f"--size: got none, allowed: an odd number ({options.model} does not say its own)")
    _, seed, count = next((table for table in reversed(tables) if table[0] == size), (size, 0, 256))
    seed = seed if options.held_out_seed is None else options.held_out_seed
    held_out = options.held_out or (count if tables else max(count, options.mazes))
    if options.mazes > held_out:
        raise ValueError(f"--mazes: got {options.mazes}, allowed: at most the {held_out} that are held out")
    task = maze_task.make(
        seed=0,
        size=size,
        num_held_out=held_out,
        held_out_seed=seed,
        length=options.length,
        reward=options.reward,
    )
    model = decoder.load_hf(options.model)
    graph, params = nnx.split(model)
    if model.config.vocab_size < task.vocabulary_size:
        raise ValueError(f"--model: got {model.config.vocab_size} tokens, allowed: at least {task.vocabulary_size}")
    positions = task.prompt_length + task.answer_length
    if model.config.max_positions < positions:
        raise ValueError(
            f"--size: got {size}, which needs {positions} positions; the model has {model.config.max_positions}"
        )
    sampling = Settings(
        max_new_tokens=task.answer_length,
        stop_tokens=task.stop_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        pad_token=task.pad_token,
    )
    prompts = task.held_out.at(slice(options.mazes))
    settings = {
        "size": size, "held_out_seed": seed, "mazes": len(prompts), "seed": options.seed, "round": options.round,
        "temperature": options.temperature, "top_p": options.top_p, "reward": options.reward,
        "length": task.answer_length,
    }  # fmt: skip
    drawn = counts.Counts(options.out or options.model / f"evaluation_{size}", settings)
    sampler = Sampler(
        Policy(graph, compute_dtype("auto")), task, prompts, options.round, sampling, sharding.make_mesh()
    )
    drawn.draw(functools.partial(sampler, params), options)
    return drawn.summarised(options.samples, task.measures)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    try:
        counts.show(evaluate(parser().read(arguments)), "held-out mazes")
    except ValueError as error:
        sys.exit(say_error(error, 2))


if __name__ == "__main__":
    main()
