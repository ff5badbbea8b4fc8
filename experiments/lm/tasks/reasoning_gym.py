"""Problems of reasoning-gym as a task of the driver."""

from __future__ import annotations

import functools
from typing import Any

from experiments.lm.setup import Row
from experiments.lm.tasks import mathematics as text
from maxrl_jax.lm.task import Task
from maxrl_jax.runs.config import checks
from maxrl_jax.tasks import mathematics, reasoning_gym
from maxrl_jax.tasks.mathematics import task as mathematics_task


def make(config: Any) -> Task:
    """The task of the problems that a config names.

    Raises:
        ConfigError: a field, the tokenizer or a package is not what it should be.
    """
    gym = config.reasoning_gym
    tokenizer, vocabulary_size = text.read_model(config)
    specs = text.named("reasoning_gym.tasks", gym.tasks, lambda: reasoning_gym.read_tasks(gym.tasks))
    make_sets = functools.partial(
        reasoning_gym.make_sets,
        specs,
        num_problems=gym.num_problems,
        num_held_out=gym.num_held_out,
        seed=gym.set_seed,
        extract=gym.extract,
        instruction=gym.instruction,
    )
    sets = text.named("reasoning_gym.tasks", gym.tasks, make_sets)
    make_prompts = functools.partial(
        text.make_prompts,
        config,
        tokenizer=tokenizer,
        vocabulary_size=vocabulary_size,
        key="reasoning_gym.tasks",
    )
    training, held_out = map(make_prompts, sets)
    rules = sorted({gold.rule for gold in training.golds})
    grade, verifier = reasoning_gym.Grade(gym.reward == "graded"), config.verifier
    return mathematics_task.make(
        seed=config.seed,
        training=training,
        held_out=held_out,
        tokenizer=tokenizer,
        verifier=mathematics.Verifier(verifier.workers or None, verifier.seconds, grade),
        vocabulary_size=vocabulary_size,
        answer_length=config.data.max_answer_length,
        cut_is_wrong=config.data.cut_is_wrong,
        name=f"problems of {', '.join(spec.name for spec in specs)}",
        rewards="unit" if gym.reward == "graded" else "binary",
        said=functools.partial(reasoning_gym.extract, rule=rules[0] if len(rules) == 1 else "line"),
        groups=tuple(gold.spec.name for gold in held_out.golds) if len(specs) > 1 else (),
        notes=(f"best constant answer of each task: pass@1 {reasoning_gym.constant_pass_rate(*sets):.3f} held out",),
    )


def check(config: Any) -> None:
    """Checks the fields ``data``, ``verifier`` and ``reasoning_gym``."""
    text.check(config)
    for key in ("num_problems", "num_held_out"):
        checks.positive_int(config, f"reasoning_gym.{key}")
    checks.integer(config, "reasoning_gym.set_seed", 0, 2**30)
    checks.one_of(config, "reasoning_gym.reward", ("binary", "graded"))
    checks.one_of(config, "reasoning_gym.extract", ("auto", *reasoning_gym.RULES))


def evaluation_key(config: Any) -> dict[str, Any]:
    """The fields that the held-out problems and their verdicts depend on."""
    data = {name: config.data[name] for name in ("max_prompt_length", "cut_is_wrong")}
    chat = {"template": config.model.template, "system": config.model.system}
    return {"task": config.task, **data, **chat, **config.reasoning_gym.to_dict()}


ROW = Row(make, "configs/lm.py", ("data", "verifier", "reasoning_gym"), check, evaluation_key=evaluation_key, round=4)
