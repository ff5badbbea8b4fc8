"""Problems of reasoning-gym as a task of the driver, on a random model over bytes."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.lm.__main__ import check
from experiments.lm.tasks.table import set_up
from maxrl_jax.errors import ConfigError
from maxrl_jax.lm import decoder, evaluation
from maxrl_jax.runs.config.load import load
from maxrl_jax.tasks import mathematics
from tests.experiments.lm.small import COMMON, ROOT, model_folder

CHOSEN = {
    **{key: value for key, value in COMMON.items() if key.startswith(("rl.", "checkpoint.", "wandb."))},
    "reasoning_gym.tasks": "gcd(max_value=20), count_bits(max_n=31)",
    "reasoning_gym.num_problems": 8,
    "reasoning_gym.num_held_out": 3,
    "data.max_prompt_length": 240,
    "data.max_answer_length": 6,
    "eval.num_prompts": 7,
    "verifier.workers": 1,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return model_folder(tmp_path_factory.mktemp("gym") / "base")


def config(folder, **overrides):
    return load(str(ROOT / "configs/lm.py") + ":smollm2", {**CHOSEN, "model.init_from": folder, **overrides})


def test_right_answers_are_rewarded_and_tasks_are_reported_apart(folder):
    chosen = config(folder)
    check(chosen)
    setup = set_up(chosen)
    task = setup.task
    assert len(task.held_out.tokens) == 6
    assert task.groups == ("gcd", "count_bits") * 3
    # Every gold is one of 0 .. 20: each is tried.
    tokenizer = mathematics.Tokenizer.load(folder)
    answers = np.full((6, 21, 6), task.pad_token, np.int32)
    for number in range(21):
        written = [*tokenizer.encode_answer(str(number)), task.stop_tokens[0]]
        answers[:, number, : len(written)] = written
    try:
        verdict = task.judge(task.held_out.state, answers)
    finally:
        task.close()
    assert verdict.rewards.sum(axis=1).tolist() == [1.0] * 6
    found = {"solved": verdict.rewards.sum(axis=1).astype(int), "length": answers.shape[1] * np.ones(6)}
    found["solved"][1::2] = 0
    summary = evaluation.summary(found, 21, groups=task.groups)
    assert summary["eval/gcd/pass@21"] == 1.0
    assert summary["eval/count_bits/pass@21"] == 0.0
    assert summary["eval/pass@21"] == 0.5


@pytest.mark.parametrize("dtype", ["", "bfloat16"])
def test_a_model_is_written_in_the_type_it_came_in_or_another(folder, tmp_path, dtype):
    setup = set_up(config(folder, **{"model.export_dtype": dtype}))
    setup.task.close()
    setup.save(setup.init_params(), tmp_path)
    assert decoder.stored_type(tmp_path) == jnp.dtype(dtype or "float32")


@pytest.mark.parametrize(
    ("overrides", "key", "message"),
    [
        ({"reasoning_gym.tasks": "gdc"}, "reasoning_gym.tasks", "gcd"),
        ({"reasoning_gym.reward": "graded"}, "rl.advantage.name", "maxrl"),
        ({"reasoning_gym.extract": "last"}, "reasoning_gym.extract", "auto, box"),
        ({"reasoning_gym.num_held_out": 0}, "reasoning_gym.num_held_out", "at least 1"),
        ({"data.max_prompt_length": 9}, "data.max_prompt_length", "at least"),
        ({"model.init_from": ""}, "model.init_from", "folder"),
    ],
)
def test_what_cannot_be_run_is_one_line(folder, overrides, key, message):
    with pytest.raises(ConfigError) as error:
        check(config(folder, **overrides))
    assert error.value.key == key
    assert message in str(error.value)
    assert "\n" not in str(error.value)
