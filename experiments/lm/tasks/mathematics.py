"""Mathematics as a task of the driver: files of problems, a tokenizer, a verifier."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from experiments.lm.setup import Row
from maxrl_jax.errors import ConfigError, as_config_error
from maxrl_jax.lm import decoder
from maxrl_jax.lm.task import Task
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.config.imported import imported, own_name
from maxrl_jax.tasks import mathematics
from maxrl_jax.tasks.mathematics import grading
from maxrl_jax.tasks.mathematics import task as mathematics_task

Result = TypeVar("Result")

MATH_VERIFY = "math-verify"
SETS = ("train", "eval")


def make(config: Any) -> Task:
    """The task of the files that a config names.

    Raises:
        ConfigError: a file, a column, the tokenizer or the verifier is not what it should be.
    """
    tokenizer, vocabulary_size = read_model(config)
    training, held_out = (_prompts(config, name, tokenizer, vocabulary_size) for name in SETS)
    if config.data.drop_shared:
        training = training.at(~training.held_in(held_out))
        if not len(training):
            raise ConfigError("data.drop_shared", True, "False: data.eval holds every problem of data.train")
    return mathematics_task.make(
        seed=config.seed,
        training=training,
        held_out=held_out,
        tokenizer=tokenizer,
        verifier=make_verifier(config),
        vocabulary_size=vocabulary_size,
        answer_length=config.data.max_answer_length,
        cut_is_wrong=config.data.cut_is_wrong,
    )


def read_model(config: Any) -> tuple[mathematics.Tokenizer, int]:
    """The tokenizer and the size of the vocabulary of the model that a text task needs.

    Raises:
        ConfigError: no such model, or one of too few positions.
    """
    folder = config.model.init_from
    if not folder:
        raise ConfigError("model.init_from", folder, "the folder of a model with its tokenizer, for this task")
    shape = as_config_error("model.init_from", folder, lambda: decoder.read_config(folder))
    needed = config.data.max_prompt_length + config.data.max_answer_length
    if needed > shape.max_positions:
        allowed = f"{needed} positions, of a prompt and its answer, in a model of {shape.max_positions}"
        raise ConfigError("data.max_answer_length", config.data.max_answer_length, allowed)
    load = functools.partial(mathematics.Tokenizer.load, folder, _arguments(config), config.model.system)
    return named("model.init_from", folder, load), shape.vocab_size


def check(config: Any) -> None:
    """Checks the fields ``data`` and ``verifier``."""
    for key in ("max_prompt_length", "max_answer_length"):
        checks.positive_int(config, f"data.{key}")
    for key in ("cut_is_wrong", "drop_shared"):
        checks.one_of(config, f"data.{key}", (True, False))
    _arguments(config)
    checks.non_negative_int(config, "verifier.workers")
    checks.positive(config, "verifier.seconds")
    if config.verifier.grade != MATH_VERIFY:  # a user's module may not import, or take for ever
        with make_verifier(config, workers=1) as verifier:
            try:
                verifier.start()
            except mathematics.VerifierError as error:
                allowed = f"a function that a worker can import ({error})"
                raise ConfigError("verifier.grade", config.verifier.grade, allowed) from error.__cause__


def evaluation_key(config: Any) -> dict[str, Any]:
    """The fields that the held-out problems and their verdicts depend on."""
    data = config.data
    names = ("eval", "eval_layout", "question", "answer", "max_prompt_length", "cut_is_wrong")
    chat = {"template": config.model.template, "system": config.model.system, "grade": config.verifier.grade}
    return {"task": config.task, **{name: data[name] for name in names}, **chat}


def make_verifier(config: Any, workers: int = 0) -> mathematics.Verifier:
    """The pool of workers that judge answers: by Math-Verify, or by a function of the user's."""
    name = config.verifier.grade
    grade = grading.grade if name == MATH_VERIFY else grading.OwnGrade(own_name(config, "verifier.grade", MATH_VERIFY))
    workers = workers or config.verifier.workers
    make = functools.partial(mathematics.Verifier, workers or None, config.verifier.seconds, grade)
    return named("verifier.grade", name, make)


def _arguments(config: Any) -> dict[str, Any]:
    """The arguments of the chat template."""
    text = config.model.template
    try:
        arguments = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise ConfigError("model.template", text, 'an object in JSON, such as {"enable_thinking": false}')
    return arguments


def _prompts(config: Any, name: str, tokenizer: mathematics.Tokenizer, vocabulary_size: int) -> mathematics.Prompts:
    data = config.data
    layout = data[f"{name}_layout"]
    if ":" in layout:
        layout = imported(config, f"data.{name}_layout", ", ".join(mathematics.LAYOUTS))
    columns = {"question": data.question, "answer": data.answer}
    if name == "train" and config.sft.steps:
        columns["solution"] = data.solution
    read = functools.partial(mathematics.read_records, **columns)
    records = named(f"data.{name}", data[name], lambda: read(data[name], layout))
    return make_prompts(config, records, tokenizer, vocabulary_size, f"data.{name}")


def make_prompts(
    config: Any,
    records: Sequence[mathematics.Record],
    tokenizer: mathematics.Tokenizer,
    vocabulary_size: int,
    key: str,
) -> mathematics.Prompts:
    """Problems as prompts; ConfigError about ``key`` where the model lacks a token, or where all are too long."""

    def make() -> mathematics.Prompts:
        try:
            return mathematics.make_prompts(
                records, tokenizer, config.data.max_prompt_length, vocabulary_size, config.data.max_answer_length
            )
        except mathematics.InputError as error:
            if error.key != mathematics.LENGTH_LIMIT:
                raise
            raise ConfigError("data.max_prompt_length", config.data.max_prompt_length, error.allowed) from None

    return named(key, None, make)


def named(key: str, got: Any, call: Callable[[], Result]) -> Result:
    """The call's result; what is wrong with its input, or a package that is missing, as an error about ``key``."""
    try:
        return as_config_error(key, got, call)
    except ImportError as error:
        raise ConfigError(key, got, str(error)) from None


ROW = Row(make, "configs/llm.py", ("data", "verifier"), check, evaluation_key=evaluation_key, round=4)
