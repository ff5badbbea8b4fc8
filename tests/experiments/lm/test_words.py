"""Word problems end to end at their smallest: metrics, mini-batches, refused settings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.lm import evaluate, training
from experiments.lm.__main__ import check
from experiments.lm.tasks.table import set_up
from maxrl_jax import advantages
from maxrl_jax.errors import ConfigError
from maxrl_jax.lm import decoder
from tests.experiments.lm.small import lines, words


def test_metrics_are_the_contracts(finished_words):
    sft = lines(finished_words, "sft/")
    assert [r["step"] for r in sft if "sft/loss" in r] == [0, 1]
    assert [0 <= r["sft/digits_right"] <= 1 for r in sft if "sft/digits_right" in r] == [True]
    train = lines(finished_words, "train/")
    for record in train:
        assert {"train/reward_mean", "train/all_fail", "train/entropy", "train/answer_length"} <= set(record)
    rates = [record["train/cumulative_solve_rate"] for record in train]
    assert rates == sorted(rates) and rates[0] >= (1 - train[0]["train/all_fail"]) * 8 / 12 - 1e-6
    last = lines(finished_words, "eval/")[-1]
    assert {"eval/pass@1", "eval/pass@4", "eval/majority@4", "eval/entropy", "eval/coverage"} <= set(last)
    assert 0 < last["eval/entropy"] <= np.log(128) + 1e-4
    assert decoder.load_hf(finished_words / "model")(jnp.zeros((1, 3), jnp.int32)).shape == (1, 3, 128)


def test_a_model_is_evaluated_on_longer_chains_than_it_was_trained_on(finished_words):
    flags = [f"--run={finished_words}", "--config.words.held_out=long", "--samples=4", "--round=4", "--temperature=0.6"]
    found = evaluate.evaluate(flags)
    assert len(found["eval/solved"]) == 5 and found["eval/answer_length"] > 0
    with pytest.raises(ConfigError, match="--held_out"):  # counts of another set in the same folder
        evaluate.evaluate([flags[0], *flags[2:]])


def one_step(config):
    """Parameters and metrics after the first RL step."""
    setup = set_up(config)
    chunk = training.make_chunk(setup, [(0, advantages.get("rloo"))])
    state, metrics = chunk(training.make_state(setup, setup.init_params()), np.arange(1))
    return state, jax.device_get(metrics)


def test_mini_batches_are_the_batch_cut_by_prompts():
    """Plain SGD and a tiny rate: the updates of four parts add up to four times that of the whole, to first order."""
    plain = {
        "rl.optimizer.name": "sgd",
        "rl.optimizer.momentum": 0.0,
        "rl.optimizer.clip_norm": 0.0,
        "rl.optimizer.weight_decay": 0.0,
        "rl.learning_rate": 1e-3,
        "rl.aggregation": "sequence_sum",
        "task": "tests.experiments.lm.own_task:sums",
        "rl.num_rollouts": 32,
    }
    setup = set_up(words(**plain))
    before = setup.init_params()
    whole, metrics = one_step(words(**plain))
    parts, of_parts = one_step(words(**plain, **{"rl.minibatches": 4, "rl.clip_epsilon": 0.2}))
    assert of_parts["reward_mean"] == pytest.approx(metrics["reward_mean"], abs=1e-6)
    moved = [
        np.concatenate([np.ravel(a - b) for a, b in zip(*map(jax.tree.leaves, (s["params"], before)), strict=True)])
        for s in (whole, parts)
    ]
    assert 0 < metrics["reward_mean"] < 1
    np.testing.assert_allclose(moved[1], 4 * moved[0], rtol=0, atol=2e-2 * np.abs(moved[1]).max())


WRONG = [
    ({"task": "word"}, "task"),
    ({"words.num_problems": 0}, "words.num_problems"),
    ({"words.held_out": "rares"}, "words.held_out"),
    ({"model.max_positions": 60}, "model.max_positions"),
    ({"model.init_from": "/nonexistent"}, "model.init_from"),
    ({"task": "mathematics"}, "model.init_from"),
]


@pytest.mark.parametrize(("overrides", "key"), WRONG, ids=str)
def test_wrong_settings_are_named_before_any_compile(overrides, key):
    with pytest.raises(ConfigError) as caught:
        check(words(**overrides))
    assert str(caught.value).startswith(key), caught.value
    assert "\n" not in str(caught.value)
