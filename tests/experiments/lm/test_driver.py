"""The driver end to end at its smallest, mostly on mazes: metrics, resume, devices, methods, refused settings."""

import json
import os
import shutil
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.figures.policies import inside
from experiments.figures.registry import Context
from experiments.lm import training
from experiments.lm.__main__ import check, run
from experiments.lm.tasks.table import set_up
from experiments.results import policy_runs
from maxrl_jax.errors import ConfigError
from maxrl_jax.lm import decoder
from maxrl_jax.lm import sft as fine_tuning
from maxrl_jax.lm.evaluation import orders, summary
from maxrl_jax.lm.step import PROVIDES
from maxrl_jax.runs.config import estimator
from maxrl_jax.runs.config.load import load
from maxrl_jax.runs.loop import optimizer
from tests.experiments.lm.small import ROOT, SMALL, WORDS, lines, small, words
from tests.xla_flags import with_devices


def test_metrics_are_the_contracts(finished):
    sft_lines, train = lines(finished, "sft/"), lines(finished, "train/")
    assert [r["step"] for r in sft_lines] == [0, 1] and [r["step"] for r in train] == [0, 1]
    names = ("loss", "reward_mean", "gradient_norm", "entropy", "all_fail", "all_solved", "answer_length")
    for record in train:
        assert {f"train/{name}" for name in names} <= set(record)
        reasons = [v for k, v in record.items() if k.startswith("train/fail_")]
        assert sum(reasons) + record["train/reward_mean"] == pytest.approx(1, abs=1e-5)
    evaluations = lines(finished, "eval/")
    assert [r["step"] for r in evaluations] == [0, 2]
    assert {"eval/pass@1", "eval/pass@2", "eval/pass@4", "eval/solved"} <= set(evaluations[0])
    assert len(evaluations[0]["eval/solved"]) == 5
    assert "final/params_sha256" in lines(finished, "final/")[-1]


def test_the_saved_model_is_the_trained_one_and_is_taken_as_a_start(finished, tmp_path):
    model = decoder.load_hf(finished / "model")
    assert model(jnp.zeros((1, 3), jnp.int32)).shape == (1, 3, 32)
    config = small(**{"model.init_from": str(finished / "model"), "sft.steps": 0, "rl.steps": 0})
    check(config)
    run(config, tmp_path / "again")
    before, after = lines(finished, "eval/")[-1], lines(tmp_path / "again", "eval/")[0]
    # Other samples of the same policy: the same mazes, a like number of tokens.
    assert len(before["eval/solved"]) == len(after["eval/solved"])
    assert after["eval/answer_length"] == pytest.approx(before["eval/answer_length"], rel=0.5)


TASKS = {"finished": ("maze", "tiny", SMALL, small), "finished_words": ("llm", "words", WORDS, words)}


@pytest.mark.parametrize("task", TASKS)
def test_resumed_equals_uninterrupted_bitwise(request, tmp_path, task):
    """One RL step, then the same folder continued to two."""
    whole, config = request.getfixturevalue(task), TASKS[task][-1]
    run(config(**{"rl.steps": 1}), tmp_path / "run")
    run(config(), tmp_path / "run")
    assert lines(tmp_path / "run", "final/")[-1] == lines(whole, "final/")[-1]
    assert lines(tmp_path / "run", "train/", "sft/") == lines(whole, "train/", "sft/")


def test_two_seeds_differ_in_parameters_and_mazes_but_not_in_what_is_held_out():
    one, two = (set_up(small(seed=seed)) for seed in (0, 1))
    params = [jax.tree.leaves(setup.init_params()) for setup in (one, two)]
    assert not any(np.array_equal(a, b) for a, b in zip(*params, strict=True) if np.ptp(a) > 0)
    ids = jnp.arange(32)
    walls = [setup.task.prompts("rl", jnp.int32(0), ids, 32).state.walls for setup in (one, two)]
    assert not np.array_equal(*walls)
    later = one.task.prompts("rl", jnp.int32(1), ids, 32).state.walls
    assert not np.array_equal(walls[0], later)
    np.testing.assert_array_equal(one.task.held_out.state.walls, two.task.held_out.state.walls)


def start(folder, devices=1, extra=(), task="finished"):
    """The driver at its smallest as a process, by the name of its task's own command."""
    module, variant, settings, _ = TASKS[task]
    flags = [f"--config.{key}={value}" for key, value in settings.items()]
    config = f"--config=configs/{module}.py:{variant}"
    command = [sys.executable, "-m", f"experiments.{module}", config, f"--workdir={folder}"]
    environment = {**os.environ, "XLA_FLAGS": with_devices(devices), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [*command, *flags, *extra], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def check_equal_up_to_sums(one, other):
    """The same draws, and gradients up to the order of summation."""
    for here, there in zip(lines(one, "sft/loss"), lines(other, "sft/loss"), strict=True):
        assert there["sft/loss"] == pytest.approx(here["sft/loss"], rel=1e-5)
    here, there = lines(one, "train/")[0], lines(other, "train/")[0]
    assert set(here) == set(there)
    for name, value in here.items():
        assert there[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    assert lines(other, "eval/")[0]["eval/solved"] == lines(one, "eval/")[0]["eval/solved"]


@pytest.mark.slow
def test_gradient_norms_are_drawn_of_a_run_that_is_older_than_a_field(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "older")
    settings = json.loads((tmp_path / "older/config.json").read_text())
    del settings["maze"]["imitated"]
    (tmp_path / "older/config.json").write_text(json.dumps(settings))
    table = inside.maxrl_fig6(Context(runs=(tmp_path / "older",), quick=True)).data
    assert set(table.method) == {"rloo", "grpo", "maxrl"} and (table.gradient_norm >= 0).all()
    assert sorted(set(table.maze)) == list(range(5))


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_eight_devices_equal_one(request, tmp_path, task):
    process = start(tmp_path / "run", devices=8, task=task)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    check_equal_up_to_sums(request.getfixturevalue(task), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["devices"]["count"] == 8


@pytest.mark.slow
def test_two_processes_equal_one(finished, tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    flags = [f"--coordinator=127.0.0.1:{port}", "--num_processes=2"]
    processes = [start(tmp_path / "run", extra=[*flags, f"--process_id={i}"]) for i in range(2)]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    check_equal_up_to_sums(finished, tmp_path / "run")
    assert (tmp_path / "run/figures/answers.png").is_file()


def test_sft_is_evaluated_and_exported_on_the_way(finished, tmp_path):
    config = small(**{"sft.eval_every_steps": 1, "sft.export_steps": (1,), "rl.steps": 0})
    check(config)
    run(config, tmp_path / "run")
    evaluations = [r for r in lines(tmp_path / "run", "sft/") if "sft/pass@1" in r]
    assert [r["step"] for r in evaluations] == [0, 1, 2]
    # Looking does not change what is looked at.
    losses = [r["sft/loss"] for r in lines(tmp_path / "run", "sft/") if "sft/loss" in r]
    assert losses == [r["sft/loss"] for r in lines(finished, "sft/")]
    models = [decoder.load_hf(tmp_path / "run" / name) for name in ("model_sft_1", "model")]
    one, two = (model(jnp.zeros((1, 3), jnp.int32)) for model in models)
    assert not np.allclose(one, two)


def test_without_signal_nothing_moves(finished, tmp_path):
    """An estimator that has nothing to say leaves the model, bit for bit, though momentum and decay would move it."""
    start = {"model.init_from": str(finished / "model"), "sft.steps": 0, "rl.learning_rate": 1e-2}
    silent = {"rl.advantage.name": "tests.runs.own_estimator:nothing"}
    for name, overrides in {"kept": {}, "moved": {"rl.optimizer.skip_zero": False}}.items():
        config = small(**start, **silent, **overrides)
        check(config)
        run(config, tmp_path / name)
        for record in lines(tmp_path / name, "train/"):
            assert record["train/no_signal"] == 1 and record["train/gradient_norm"] == 0
    before = (finished / "model" / "model.safetensors").read_bytes()
    assert (tmp_path / "kept/model/model.safetensors").read_bytes() == before
    assert (tmp_path / "moved/model/model.safetensors").read_bytes() != before


def test_momentum_rests_with_the_parameters():
    transformation = training.make_optimizer(set_up(small(**{"rl.learning_rate": 0.1})))
    params = {"w": jnp.ones(3)}
    moved, opt = optimizer.apply(transformation, {"w": jnp.ones(3)}, transformation.init(params), params)
    again = optimizer.apply(transformation, {"w": jnp.zeros(3)}, opt, moved, signal=jnp.bool_(False))
    jax.tree.map(np.testing.assert_array_equal, again, (moved, opt))
    drifted, _ = optimizer.apply(transformation, {"w": jnp.zeros(3)}, opt, moved)
    assert not np.array_equal(drifted["w"], moved["w"])


def test_a_graded_reward_is_trained_on_and_evaluated(tmp_path):
    config = small(**{"maze.reward": "path_quality", "rl.advantage.name": "maxrl_order", "rl.advantage.order": 3})
    check(config)
    run(config, tmp_path / "run")
    last = lines(tmp_path / "run", "eval/")[-1]
    assert {"eval/reward_mean", "eval/best@1", "eval/best@4", "eval/shortest_pass@4", "eval/pass@4"} <= set(last)
    assert last["eval/best@1"] == pytest.approx(last["eval/reward_mean"], rel=1e-5)
    assert last["eval/pass@1"] / 2 <= last["eval/reward_mean"] <= 0.5 * (1 + last["eval/pass@1"])
    assert "train/solved" in lines(tmp_path / "run", "train/")[0]


@pytest.mark.parametrize("name", ["maxrl", "one_sided_grpo", "self_masked"])
def test_binary_estimators_refuse_a_graded_reward(name):
    with pytest.raises(ConfigError, match=r"rl\.advantage\.name: got .*maxrl_order") as caught:
        check(small(**{"maze.reward": "path_quality", "rl.advantage.name": name}))
    assert "\n" not in str(caught.value)


def test_a_task_of_ones_own_runs_through_the_driver(tmp_path):
    config = small(**{"task": "tests.experiments.lm.own_task:sums", "eval.num_samples": 8})
    check(config)
    run(config, tmp_path / "run")
    assert [r["step"] for r in lines(tmp_path / "run", "eval/")] == [0, 2]
    assert {"sft/loss"} <= set(lines(tmp_path / "run", "sft/")[0])
    assert "train/fail_wrong" in lines(tmp_path / "run", "train/")[0]
    assert decoder.load_hf(tmp_path / "run/model")(jnp.zeros((1, 2), jnp.int32)).shape == (1, 2, 16)


OWN_TASKS = [
    ("tests.experiments.lm.own_task:missing", "it has no missing"),
    ("tests.experiments.lm.nowhere:sums", "a module that imports"),
    ("maze9", "maze, or your own as package.module:function"),
    ("words", "maze, or your own as package.module:function"),
    ("tests.experiments.lm.own_task:flat_rewards", "judge's rewards of task sums: got float32 \\[8\\]"),
    ("tests.experiments.lm.own_task:raises", "KeyError"),
    ("tests.experiments.lm.own_task:unsolved", "sft.steps"),
]


@pytest.mark.parametrize(("name", "message"), OWN_TASKS)
def test_a_wrong_task_is_one_line(name, message):
    with pytest.raises(ConfigError, match=message) as caught:
        check(small(task=name))
    assert "\n" not in str(caught.value)


METHODS = [
    {"rl.advantage.name": "grpo", "rl.entropy_coef": 0.01},
    {"rl.advantage.name": "maxrl", "rl.kl_coef": 0.1},
    {"rl.advantage.name": "pkpo", "rl.advantage.k": 4},
    {"rl.advantage.name": "differential_smoothing"},
    {"rl.advantage.name": "self_masked"},
    {"rl.advantage.name": "maxrl", "maze.training_set": 16},
    {"rl.advantage.name": "maxpo", "rl.advantage.k": 2, "rl.loss": "max_at_k", "rl.minibatches": 2},
    {"rl.advantage.name": "tests.runs.own_estimator:scaled", "rl.temperature": 0.7, "rl.top_p": 0.9},
]


@pytest.mark.parametrize("overrides", METHODS, ids=lambda o: "-".join(str(v) for v in o.values()))
def test_every_method_traces_through_one_whole_step(overrides):
    config = small(**overrides)
    check(config)
    setup = set_up(config)
    [(start, advantage)] = estimator.phases(
        config, "rl.advantage", num_rollouts=config.rl.num_rollouts, provides=PROVIDES
    )
    assert start == 0 and setup.step.max_at_k == (2 if config.rl.loss == "max_at_k" else None)
    params = jax.eval_shape(setup.init_params)
    state = jax.eval_shape(lambda params: training.make_state(setup, params), params)
    trainer = training.make_trainer(setup, [(0, advantage)])

    out, metrics = jax.eval_shape(trainer.traced_step, state, jax.ShapeDtypeStruct((), jnp.int32))
    assert jax.tree.map(lambda a: (a.shape, a.dtype), out) == jax.tree.map(lambda a: (a.shape, a.dtype), state)
    assert metrics["reward_mean"].shape == ()


@pytest.mark.parametrize(("micro_batch", "train_on_prompts"), [(3, False), (3, True)])
def test_sft_is_the_cross_entropy_of_plain_full_sequences(micro_batch, train_on_prompts):
    setup = set_up(small())
    params = setup.init_params()
    prompts = setup.task.prompts("sft", jnp.int32(0), jnp.arange(8), 8)
    tokens = jnp.concatenate([prompts.tokens, prompts.solutions], axis=1)
    first = 1 if train_on_prompts else prompts.tokens.shape[1]  # to be predicted

    def plain(params):
        log_probs = jax.nn.log_softmax(setup.policy.master(params)(tokens[:, :-1]))
        of_tokens = jnp.take_along_axis(log_probs, tokens[:, 1:, None], axis=-1)[:, first - 1 :, 0]
        mask = tokens[:, first:] != 0
        return -jnp.sum(of_tokens * mask) / mask.sum()

    settings = {"step": 0, "batch_size": 8, "micro_batch": micro_batch, "train_on_prompts": train_on_prompts}
    with jax.default_matmul_precision("highest"):
        ours = jax.jit(lambda p: fine_tuning.gradients(setup.policy, setup.task, p, **settings))(params)
        expected = jax.jit(jax.value_and_grad(plain))(params)
    assert jax.tree.structure(ours) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6)


def test_summary_is_unbiased_pass_at_k():
    per_maze = {"solved": np.array([0, 2, 4]), "shortest": np.array([0, 1, 4]), "length": np.array([8, 8, 8])}
    out = summary(per_maze, 4, ["shortest"])
    assert out["eval/pass@1"] == pytest.approx((0 + 0.5 + 1) / 3)
    assert out["eval/pass@2"] == pytest.approx((0 + 5 / 6 + 1) / 3)
    assert out["eval/pass@4"] == pytest.approx(2 / 3) == out["eval/coverage"]
    assert out["eval/shortest"] == pytest.approx(5 / 6)
    assert out["eval/answer_length"] == 2
    assert orders(6) == [1, 2, 4, 6]


def test_analysis_reads_the_run_back(finished):
    [record] = policy_runs.find([finished.parent])
    assert record.method == "maxrl" and record.num_rollouts == 4
    assert sorted(record.evaluations) == [0, 2] and len(record.train) == 2
    np.testing.assert_allclose(record.pass_curve([1], 0)[0], lines(finished, "eval/")[0]["eval/pass@1"])
    assert policy_runs.support([0, 1, 2, 0], [0, 0, 1, 3]) == {"kept": 1, "lost": 1, "gained": 1, "neither": 1}
    # One maze, 1 of 4 samples right: pass@k = k/4.
    one = policy_runs.Counts(np.array([1]), 4)
    assert (one.samples_to_reach(0.5), one.samples_to_reach(0.51), one.samples_to_reach(1.01)) == (2, 3, None)


WRONG = [
    ({"maze.size": 8}, "maze.size"),
    ({"maze.imitated": "walker"}, "maze.imitated"),
    ({"sft.train_on_prompts": 1.5}, "sft.train_on_prompts"),
    ({"rl.num_rollouts": 1, "rl.advantage.name": "rloo"}, "rl.advantage.name"),
    ({"rl.advantage.name": "maxpo", "rl.advantage.k": 4}, "rl.advantage.k"),
    ({"maze.answer_length": 10}, "maze.answer_length"),
    ({"maze.answer_length": 460}, "maze.answer_length"),
    ({"maze.size": 21, "maze.answer_length": 0}, "model.max_positions"),
    ({"model.num_heads": 3}, "model"),
    ({"model.init_from": "/nonexistent"}, "model.init_from"),
    ({"model.compute_dtype": "float16"}, "model.compute_dtype"),
    ({"rl.aggregation": "mean"}, "rl.aggregation"),
    ({"rl.top_p": 0.0}, "rl.top_p"),
    ({"rl.minibatches": 3}, "rl.minibatches"),
    ({"rl.clip_epsilon": 1.0}, "rl.clip_epsilon"),
    ({"rl.loss": "max_at_k", "rl.advantage.name": "maxrl"}, "rl.loss"),
    ({"rl.minibatches": 4, "rl.advantage.name": "self_masked"}, "rl.advantage.name"),
    ({"rl.decode_segments": (4,), "rl.advantage.name": "self_masked"}, "rl.advantage.name"),
    ({"rl.decode_segments": (4, 4)}, "rl.decode_segments"),
    ({"rl.rollouts": "nowhere"}, "rl.rollouts: got 'nowhere', allowed: an empty string, or your own"),
    ({"rl.largest_weight": 0.0}, "rl.largest_weight"),
    ({"rl.optimizer.b1": 1.0}, "rl.optimizer.b1"),
]


@pytest.mark.parametrize(("overrides", "key"), WRONG, ids=str)
def test_wrong_settings_are_named_before_any_compile(overrides, key):
    with pytest.raises(ConfigError) as caught:
        check(small(**overrides))
    assert str(caught.value).startswith(key), caught.value
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_shape_is_named(finished):
    with pytest.raises(ConfigError, match=r"model\.init_from.*hidden_size = 32 \(it has 16\)"):
        check(small(**{"model.init_from": str(finished / "model"), "model.hidden_size": 32}))


VARIANTS = [f"maze.py:{name}" for name in ("tiny", "base", "published_sft", "table3", "figure3", "scarce")]


@pytest.mark.parametrize("variant", [*VARIANTS, "llm.py:words", "llm.py:words_standin"])
def test_every_variant_is_checked(variant):
    few = {"words.num_demonstrations": 64} if "words" in variant else {}
    check(load(f"{ROOT}/configs/{variant}", {"wandb.mode": "disabled", **few}))


@pytest.mark.slow
def test_mazes_in_segments_and_mini_batches_are_those_of_one_loop(tmp_path):
    """Answers of up to 20 tokens, looked at after 3 and 8: the same draws, gradients up to the order of summation."""
    chosen = {"rl.minibatches": 2, "rl.clip_epsilon": 0.2}
    for name, segments in {"whole": (), "parts": (3, 8)}.items():
        config = small(**chosen, **{"rl.decode_segments": segments})
        check(config)
        run(config, tmp_path / name)
    check_equal_up_to_sums(tmp_path / "whole", tmp_path / "parts")


def test_an_evaluation_has_a_distribution_of_its_own(finished, tmp_path):
    start = {"model.init_from": str(finished / "model"), "sft.steps": 0, "rl.steps": 0}
    run(small(**start, **{"eval.temperature": 0.0}), tmp_path / "greedy")
    [greedy] = lines(tmp_path / "greedy", "eval/")
    assert set(greedy["eval/solved"]) <= {0, 4}  # the same answer every time
