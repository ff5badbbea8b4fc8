"""A task of your own through the model, the engine and the driver of the mazes: sorting digits.

`factory` is all there is to it. The driver fine-tunes on the solutions, trains by MaxRL on what the judge says and
evaluates on held-out prompts. `python own_task.py` takes a minute or two on a CPU. From a clone, with this file's
folder on PYTHONPATH, so does

    python -m experiments.maze --config=configs/maze.py:tiny --config.task=own_task:factory --workdir=runs/sorting
"""

import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp

from maxrl_jax import keys
from maxrl_jax.lm.task import Prompts, Task, Verdict


def factory(config):
    """Prompts: four digits. Answers: the same in ascending order. Token d + 1 is digit d, token 0 is padding."""

    def of(numbers):  # the 10,000 prompts in a mixed order; every ninth is held out
        digits = numbers[:, None] * 4357 % 10_000 // jnp.array([1000, 100, 10, 1]) % 10
        return Prompts(1 + digits, state=digits, solutions=1 + jnp.sort(digits))

    def prompts(phase, step, ids, batch_size):
        key = keys.stream(config.seed, phase, step)
        number = jax.vmap(lambda i: jax.random.randint(jax.random.fold_in(key, i), (), 0, 8800))(ids)
        return of(number + number // 8 + 1)

    def judge(digits, answers):
        return Verdict(jnp.all(answers == 1 + jnp.sort(digits)[:, None], axis=-1))

    held_out = of(9 * jnp.arange(250))
    return Task("sorting", vocabulary_size=16, answer_length=4, prompts=prompts, judge=judge, held_out=held_out)


def main():
    """The driver from Python: SFT until some sums are right, then RL."""
    import configs
    from experiments.lm.__main__ import check, run
    from maxrl_jax.runs.config.load import load

    sys.path.insert(0, str(Path(__file__).parent))
    small = {
        "sft.steps": 60,
        "rl.steps": 150,
        "eval.every_steps": 75,
        "eval.num_samples": 64,
        "log.console_seconds": 1e9,
    }
    overrides = {"task": "own_task:factory", "wandb.mode": "disabled", **small}
    config = load(f"{Path(configs.__file__).parent}/maze.py:tiny", overrides)
    check(config)
    with tempfile.TemporaryDirectory() as folder:
        run(config, folder)
        from experiments.results import policy_runs

        record = policy_runs.read(Path(folder))
        for step, found in record.evaluations.items():
            print(f"RL step {step}: pass@1 {found['pass@1']:.3f}, pass@64 {found['pass@64']:.3f} on held-out prompts")


if __name__ == "__main__":
    main()
