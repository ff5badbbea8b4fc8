"""Files that a config names are known by their content: another base, other problems or another judge is refused."""

import os

import pytest
from ml_collections import ConfigDict

from experiments.sweep import runner
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config import fields
from maxrl_jax.runs.folder import digest, inputs
from maxrl_jax.runs.folder.metric_writer import read_metrics
from tests.runs import small


def config(folder):
    """A run with a base, problems, a judge and a checkpoint to start from."""
    made = small.config(checkpoint__init_from=str(folder / "start"))
    made.model = ConfigDict({"init_from": str(folder / "base")})
    made.data = ConfigDict({"train": str(folder / "train.jsonl"), "eval": str(folder / "eval.jsonl")})
    made.verifier = ConfigDict({"grade": "own_judge:grade"})
    return made


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "base").mkdir()
    for name in ("model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"):
        (tmp_path / "base" / name).write_text(name)
    for name in ("train.jsonl", "eval.jsonl"):
        (tmp_path / name).write_text('{"prompt": "1 + 1", "answer": "2"}\n')
    (tmp_path / "own_judge.py").write_text("def grade(answer, gold):\n    return answer == gold\n")
    small.run(tmp_path / "start", num_steps=2)
    return tmp_path


CHANGES = {
    "base/model.safetensors": "model.init_from: got another model.safetensors (",
    "base/tokenizer.json": "model.init_from: got another tokenizer.json (",
    "base/chat_template.jinja": "model.init_from: got another chat_template.jinja (",
    "base/generation_config.json": "model.init_from: got another generation_config.json (",
    "train.jsonl": "data.train: got another train.jsonl (",
    "eval.jsonl": "data.eval: got another eval.jsonl (",
    "own_judge.py": "verifier.grade: got another own_judge.py (",
    "start": "checkpoint.init_from: got another metadata (",
}


def test_a_run_goes_on_with_the_inputs_it_was_started_with_alone(folder):
    small.run(folder / "run", config(folder), num_steps=2)
    jobs = [runner.Job("run", folder / "run", "experiments.maze", [])]
    (folder / "own_judge.py").write_text("# Strict.\ndef grade(answer, gold):\n    return answer == gold\n")
    (folder / "base/evaluation").mkdir()  # what is measured of a model lies beside it
    runner.skip_finished(jobs, [fields.to_dict(config(folder))])
    assert jobs[0].status == "skipped"
    small.run(folder / "run", config(folder), num_steps=4)
    for name, said in CHANGES.items():
        file, job = folder / name, runner.Job("run", folder / "run", "experiments.maze", [])
        before = file.read_bytes() if file.is_file() else None
        if name == "start":
            small.run(folder / "start", num_steps=4)
        else:
            file.write_text("grade = any\n")
        with pytest.raises(ConfigError) as error:
            small.run(folder / "run", config(folder), num_steps=6)
        assert str(error.value).startswith(said) and str(error.value).count("allowed: the one with which") == 1
        runner.skip_finished([job], [fields.to_dict(config(folder))])
        assert job.status == "waiting", name
        if before is not None:
            file.write_bytes(before)
        elif file.is_file():
            file.unlink()


def test_a_folder_that_does_not_tell_its_inputs_goes_on(folder):
    small.run(folder / "run", config(folder), num_steps=2)
    (folder / "run" / inputs.NAME).unlink()
    (folder / "train.jsonl").write_text("other")
    small.run(folder / "run", config(folder), num_steps=4)
    steps = [line["step"] for line in read_metrics(folder / "run") if "train/loss" in line]
    assert steps == [0, 1, 2, 3] and (folder / "run" / inputs.NAME).is_file()


def test_a_digest_sees_size_content_and_both_ends_of_a_large_file(tmp_path, monkeypatch):
    monkeypatch.setattr(digest, "_WHOLE", 1 << 20)
    file, seen = tmp_path / "weights.safetensors", set()
    for size, place in ((1000, 0), (1000, 999), (1001, 0), (1 << 25, 0), (1 << 25, (1 << 25) - 1), (1 << 25, 1 << 24)):
        content = bytearray(size)
        content[place] = 1
        file.write_bytes(content)
        os.utime(file, (0, len(seen)))
        seen.add(digest.file(file))
    assert len(seen) == 6
    assert digest.files(tmp_path) == {file.name: digest.file(file)} == digest.files(file)
    assert digest.files(tmp_path / "absent") == {}
