"""The driver's configs at their smallest, on mazes, on word problems and on mathematics with a tokenizer of its own."""

import json
from pathlib import Path

import jax
from flax import nnx

from maxrl_jax.lm import decoder
from maxrl_jax.runs.config.load import load
from maxrl_jax.runs.folder.metric_writer import read_metrics
from tests.tasks.mathematics import folders

ROOT = Path(__file__).resolve().parents[3]

COMMON = {
    "model.hidden_size": 16,
    "model.intermediate_size": 32,
    "model.num_layers": 1,
    "sft.steps": 2,
    "sft.batch_size": 8,
    "sft.steps_per_call": 2,
    "rl.steps": 2,
    "rl.num_prompts": 8,
    "rl.num_rollouts": 4,
    "rl.steps_per_call": 1,
    "eval.num_samples": 4,
    "eval.every_steps": 0,
    "checkpoint.every_steps": 1,
    "log.completions_prompts": 0,
    "wandb.mode": "disabled",
}
SMALL = {**COMMON, "maze.size": 7, "maze.num_held_out": 64, "maze.answer_length": 20, "eval.num_mazes": 5}
WORDS = {**COMMON, "words.num_problems": 12, "words.num_demonstrations": 16, "eval.num_prompts": 5}


def small(**overrides):
    """Mazes."""
    return load(str(ROOT / "configs/maze.py") + ":tiny", {**SMALL, **overrides})


def words(**overrides):
    return load(str(ROOT / "configs/llm.py") + ":words", {**WORDS, **overrides})


def mathematics(folder, **overrides):
    """Questions whose answer is one letter, judged by letters.py."""
    problems = [{"prompt": f"Say {letter}.", "answer": letter} for letter in "abcdefghijkl"]
    for name, part in (("train", problems[:8]), ("eval", problems[8:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(problem) + "\n" for problem in part))
    chosen = {
        "task": "mathematics",
        "sft.steps": 0,
        "model.init_from": model_folder(folder / "base"),
        "data.train": str(folder / "train.jsonl"),
        "data.eval": str(folder / "eval.jsonl"),
        "data.max_prompt_length": 128,
        "data.max_answer_length": 6,
        "data.cut_is_wrong": False,
        "verifier.grade": "tests.experiments.lm.letters:letter",
        "verifier.workers": 1,
        "verifier.seconds": 60.0,  # a busy machine takes long to start a worker
    }
    return words(**{**chosen, **overrides})


def model_folder(folder):
    """A random Llama over bytes, with their tokenizer and a chat template."""
    if folder.exists():
        return str(folder)
    config = decoder.Config(
        vocab_size=259,
        hidden_size=16,
        intermediate_size=32,
        num_layers=1,
        num_heads=2,
        num_kv_heads=1,
        max_positions=256,
        qkv_bias=False,
    )
    decoder.save_hf(decoder.Decoder(config, rngs=nnx.Rngs(jax.random.key(0))), folder)
    return folders.write(folder)


def lines(folder, *prefixes):
    """Records with a metric of the prefixes, without times."""
    records = [{k: v for k, v in line.items() if not k.startswith("perf/")} for line in read_metrics(folder)]
    return [r for r in records if any(k.startswith(prefixes) for k in r)]
