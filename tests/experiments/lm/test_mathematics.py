"""Mathematics end to end on a random model: judged on the host, its tokenizer passed on, resumed; what is refused."""

import json
import shutil

import numpy as np
import pytest

from experiments.lm import evaluate
from experiments.lm.__main__ import check, run
from experiments.lm.check import estimator_phases
from experiments.lm.tasks.table import set_up
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config.load import load
from maxrl_jax.tasks.mathematics import Tokenizer
from tests.experiments.lm.small import ROOT, lines, mathematics, model_folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mathematics")
    config = mathematics(folder, **{"rl.minibatches": 2, "rl.clip_epsilon": 0.2})
    check(config)
    run(config, folder / "run")
    return folder


def test_rewards_are_counted_and_some_are_right(finished):
    train = lines(finished / "run", "train/")
    assert [r["step"] for r in train] == [0, 1]
    for record in train:
        reasons = sum(value for name, value in record.items() if name.startswith("train/fail_"))
        assert reasons + record["train/reward_mean"] == pytest.approx(1, abs=1e-5)
    assert any(record["train/reward_mean"] > 0 for record in train)
    last = lines(finished / "run", "eval/")[-1]
    assert {"eval/pass@4", "eval/majority@4", "eval/entropy"} <= set(last) and len(last["eval/solved"]) == 4
    text = (finished / "run/metrics.jsonl").read_text()
    assert all(name in text for name in ("perf/answers_right", "perf/answers_time_out", "perf/judge_seconds"))


def test_the_saved_model_has_its_tokenizer(finished):
    one, two = (Tokenizer.load(str(finished / name)) for name in ("base", "run/model"))
    assert one.encode_prompt("What?") == two.encode_prompt("What?")


@pytest.mark.slow
def test_segments_change_nothing_and_resume_bitwise(finished, tmp_path):
    """Answers of up to six tokens, looked at after one and after three, in two chunks."""
    chosen = {"rl.minibatches": 2, "rl.clip_epsilon": 0.2, "rl.decode_segments": (1, 3, 8), "rl.decode_rows": 16}
    chosen |= {"model.init_from": str(finished / "base")}
    chosen |= {f"data.{name}": str(finished / f"{name}.jsonl") for name in ("train", "eval")}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    config = mathematics(tmp_path, **chosen)
    check(config)
    run(config, whole)
    for steps in (1, 2):
        run(mathematics(tmp_path, **chosen, **{"rl.steps": steps}), parts)
    assert lines(parts, "final/")[-1] == lines(whole, "final/")[-1]
    assert lines(parts, "train/") == lines(whole, "train/")
    for here, there in zip(lines(whole, "train/"), lines(finished / "run", "train/"), strict=True):
        assert set(here) == set(there)
        for name, value in here.items():
            assert value == pytest.approx(there[name], rel=1e-4, abs=1e-6), name
    for here, there in zip(lines(whole, "eval/"), lines(finished / "run", "eval/"), strict=True):
        assert here["eval/solved"] == there["eval/solved"]
        assert here["eval/entropy"] == pytest.approx(there["eval/entropy"], rel=1e-4)
    counted = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    counted = [record for record in counted if "perf/judge_seconds" in record]
    assert len(counted) == 2 and all(record["perf/draw_seconds"] > 0 for record in counted)


WRONG = [
    ({"data.train": "/nonexistent.jsonl"}, "data.train"),
    ({"data.question": "query"}, "data.train"),
    ({"data.train_layout": "gsm8"}, "data.train: got layout: 'gsm8', allowed: gsm8k"),
    (
        {"data.train_layout": "tests.experiments.lm.letters:letter"},
        "data.train: got layout: a function",
    ),
    ({"data.drop_shared": True, "data.train": "eval.jsonl", "data.eval": "eval.jsonl"}, "data.drop_shared"),
    ({"model.template": "{"}, "model.template: got '{', allowed: an object in JSON"),
    ({"model.template": "[1]"}, "model.template"),
    (
        {"model.template": '{"messages": 1}'},
        "model.init_from: got the chat template's arguments: messages",
    ),
    ({"data.max_prompt_length": 3}, "data.max_prompt_length"),
    ({"data.max_answer_length": 250}, "data.max_answer_length"),
    ({"verifier.grade": "tests.experiments.lm.letters:missing"}, "verifier.grade"),
    ({"verifier.grade": "tests.experiments.lm.letters"}, "verifier.grade"),
    ({"verifier.seconds": 0.0}, "verifier.seconds"),
    ({"sft.steps": 1}, "sft.steps"),
]


@pytest.mark.parametrize(("overrides", "key"), WRONG, ids=str)
def test_wrong_settings_are_one_line(finished, overrides, key):
    with pytest.raises(ConfigError) as caught:
        here = {name: str(finished / value) if value == "eval.jsonl" else value for name, value in overrides.items()}
        check(mathematics(finished, **here))
    said = str(caught.value)
    assert said.startswith(key) and "\n" not in said and said.count(": got ") == said.count("allowed: ") == 1, said


def test_no_chat_template_is_one_line(finished, tmp_path):
    config = mathematics(tmp_path)
    settings = tmp_path / "base" / "tokenizer_config.json"
    settings.write_text(json.dumps({"eos_token": "<|im_end|>"}))
    with pytest.raises(ConfigError, match=r"model\.init_from.*no chat template"):
        check(config)


@pytest.mark.parametrize("variant", ["gsm8k", "polaris", "max_at_k", "pkpo"])
def test_the_papers_variants_fit_their_estimators(finished, variant):
    """Their settings on the small model and files."""
    data = {f"data.{name}": str(finished / f"{name}.jsonl") for name in ("train", "eval")}
    data |= {"data.train_layout": "plain", "data.eval_layout": "plain", "data.max_answer_length": 6}
    data |= {"data.max_prompt_length": 128, "model.init_from": str(finished / "base"), "wandb.mode": "disabled"}
    config = load(f"{ROOT}/configs/llm.py:{variant}", data)
    check(config)
    steps = [start for start, _ in estimator_phases(config, set_up(config).task)]
    assert steps == ([0, 1500] if variant == "pkpo" else [0])


@pytest.mark.slow
def test_gradient_norms_have_the_ratios_of_the_weights(finished):
    """At pass rate p, maxrl is (r - p) / p and rloo N / (N - 1) (r - p), on the same rollouts."""
    setup = set_up(mathematics(finished))
    table = evaluate.norms(setup, setup.init_params(), 4)
    setup.task.close()
    mixed = table[(table.pass_rate > 0) & (table.pass_rate < 1)]
    assert len(table) == 4 and len(mixed) > 0
    np.testing.assert_allclose(mixed.maxrl / mixed.rloo, 3 / (4 * mixed.pass_rate), rtol=1e-3)
    assert (table[~table.index.isin(mixed.index)][["maxrl", "rloo"]] == 0).all(axis=None)


def test_evaluation_reads_runs_that_are_older_than_a_field(tmp_path):
    config = load(f"{ROOT}/configs/llm.py:pkpo").to_dict()
    older = json.loads(json.dumps(config))
    del older["rl"]["decode_segments"]
    older["rl"]["advantage"]["mine"] = 3  # of an estimator of the user's own
    (tmp_path / "config.json").write_text(json.dumps(older))
    config["model"]["init_from"] = model_folder(tmp_path / "model")
    found = evaluate.settings_of([f"--run={tmp_path}"])[1].to_dict()
    assert found["rl"]["advantage"].pop("mine") == 3
    config["rl"]["decode_segments"] = ()  # the default, which is not this variant's
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_layers": 1, "num_heads": 2, "num_kv_heads": 1}
    config["model"] |= shape | {"max_positions": 256}
    assert found == config


def test_sft_on_a_column_of_solutions_is_taught_and_resumed(tmp_path):
    """Right answers are written out: the loss falls, and a run that stops between goes on with the same batches."""
    problems = [{"prompt": f"Say {letter}.", "answer": letter, "how": f"{letter}{letter}"} for letter in "abcdefgh"]
    problems.append({"prompt": "Say x.", "answer": "x", "how": "x" * 20})  # longer than an answer may be
    chosen = {"sft.steps": 8, "sft.steps_per_call": 4, "rl.steps": 0, "data.solution": "how", "sft.batch_size": 4}
    chosen |= {"sft.optimizer.learning_rate": 1e-2, "checkpoint.every_steps": 4}

    def config(**overrides):
        made = mathematics(tmp_path, **{**chosen, **overrides})
        (tmp_path / "train.jsonl").write_text("".join(json.dumps(problem) + "\n" for problem in problems))
        return made

    check(config())
    run(config(), tmp_path / "whole")
    losses = [line["sft/loss"] for line in lines(tmp_path / "whole", "sft/")]
    assert len(losses) == 8 and losses[-1] < losses[0]
    task = set_up(config()).task
    taught = task.prompts("sft", np.int32(0), np.arange(8), 8)
    assert sorted(task.text(row[:2].tolist()) for row in taught.solutions) == [2 * letter for letter in "abcdefgh"]
    assert (taught.solutions[:, 2] == task.stop_tokens[0]).all()
    assert any("1 solutions are longer" in line for line in task.notes)
    for name, message in {"": "sft.steps", "absent": "no column 'absent'"}.items():
        with pytest.raises(ConfigError, match=message):
            check(config(**{"data.solution": name}))


@pytest.mark.slow
def test_sft_on_text_resumes_bitwise(tmp_path):
    chosen = {"rl.steps": 0, "data.solution": "answer", "sft.batch_size": 4, "sft.steps_per_call": 1}
    whole = mathematics(tmp_path, **chosen, **{"sft.steps": 4, "checkpoint.every_steps": 2})
    run(whole, tmp_path / "whole")
    killed = tmp_path / "parts"
    run(whole, killed)
    shutil.rmtree(killed / "checkpoints" / "4")
    run(whole, killed)
    assert lines(killed, "sft/", "final/") == lines(tmp_path / "whole", "sft/", "final/")


def test_counts_of_other_golds_or_another_judge_are_refused(finished, tmp_path):
    """The same model and questions: what is right, or who says so, has changed."""
    shutil.copy(finished / "eval.jsonl", tmp_path / "eval.jsonl")
    flags = [f"--run={finished / 'run'}", f"--data={tmp_path / 'eval.jsonl'}", f"--out={tmp_path / 'counts'}"]
    flags += ["--round=2", "--samples=2"]
    evaluate.evaluate(flags)
    for field, message in {
        "verifier.grade=tests.experiments.lm.letters:letter_with_trouble": "--grade: got",
        "data.cut_is_wrong=True": "--cut_is_wrong: got True, allowed: False",
        "eval.num_prompts=3": "--prompts: got 3, allowed: 4",
        "model.system=Be brief.": r"--system: got 'Be brief\.'",
    }.items():
        with pytest.raises(ConfigError, match=message):
            evaluate.evaluate([*flags, f"--config.{field}"])
    (tmp_path / "eval.jsonl").write_text(
        (tmp_path / "eval.jsonl").read_text().replace('"answer": "i"', '"answer": "a"')
    )
    with pytest.raises(ConfigError, match=r"data\.eval/eval\.jsonl: got another one"):
        evaluate.evaluate(flags)
