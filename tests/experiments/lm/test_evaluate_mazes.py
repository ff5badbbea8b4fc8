"""The evaluation command: resumed = uninterrupted, what travels with a model, and what is refused."""

import json
import shutil

import numpy as np
import pytest

from experiments.lm import counts, evaluate
from experiments.lm.tasks import provenance
from experiments.lm.tasks.table import set_up
from maxrl_jax.runs.command_line import exit_with
from tests.experiments.lm.small import small

FLAGS = ["--mazes=6", "--round=4", "--length=20"]


def evaluated(model, out, *extra):
    return evaluate.evaluate([f"--model={model}", f"--out={out}", *FLAGS, *extra])


def test_resumed_equals_uninterrupted(finished, tmp_path):
    whole = evaluated(finished / "model", tmp_path / "whole", "--samples=12")
    evaluated(finished / "model", tmp_path / "parts", "--samples=4")
    file = tmp_path / "parts" / counts.FILE
    file.write_text(file.read_text() + '{"solved": [0, 1')  # killed while it wrote
    assert evaluated(finished / "model", tmp_path / "parts", "--samples=12") == whole
    assert file.read_text() == (tmp_path / "whole" / counts.FILE).read_text()
    assert evaluated(finished / "model", tmp_path / "parts", "--samples=8") != whole  # fewer: the first rounds
    assert {"eval/pass@1", "eval/pass@8", "eval/pass@12", "eval/shortest"} <= set(whole)


def test_the_numbers_of_the_table_are_kept(finished, tmp_path):
    for samples in (8, 4):  # the last command's
        found = evaluated(finished / "model", tmp_path, f"--samples={samples}", "--reward=path_quality")
        kept = json.loads((tmp_path / counts.SUMMARY).read_text())
        assert {name: kept[name] for name in found} == found
        assert (kept["reward"], kept["mazes"], kept["samples"]) == ("path_quality", 6, samples)
        assert {"eval/reward_mean", f"eval/best@{samples}", "eval/shortest_pass@1"} <= set(found)


def test_rounds_draw_other_answers(finished, tmp_path):
    evaluated(finished / "model", tmp_path, "--samples=8", "--temperature=0.9")
    header, one, two = (tmp_path / counts.FILE).read_text().splitlines()
    assert json.loads(header)["temperature"] == 0.9
    assert json.loads(one)["length"] != json.loads(two)["length"]


REFUSED = [
    (["--samples=6"], "--samples: got 6, allowed: a multiple of --round = 4"),
    (["--mazes=0"], "eval.num_mazes: got 0"),
    (["--mazes=65"], "--mazes: got 65, allowed: at most the 64"),
    (["--size=8"], "maze.size: got 8"),
    (["--reward=fast"], "maze.reward: got 'fast'"),
]


@pytest.mark.parametrize(("extra", "message"), REFUSED)
def test_wrong_flags_are_one_line(finished, tmp_path, capsys, extra, message):
    with pytest.raises(SystemExit) as ended:
        exit_with(evaluate.main, [f"--model={finished / 'model'}", f"--out={tmp_path}", *FLAGS, *extra])
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and len(lines) == 1 and message in lines[0], lines


def test_held_out_tables_travel_with_the_model(finished):
    assert provenance.read(finished / "model") == [(7, 0, 64)]
    start = {"model.init_from": str(finished / "model")}
    assert provenance.notes(small(**start)) == []
    assert provenance.after(small(**start)) == [(7, 0, 64)]
    assert provenance.after(small(**start, **{"eval.seed": 1})) == [(7, 0, 64), (7, 1, 64)]
    assert provenance.after(small(**start, **{"eval.seed": 1, "sft.steps": 0, "rl.steps": 0})) == [(7, 0, 64)]
    assert provenance.after(small()) == [(7, 0, 64)]


def test_a_warm_start_says_how_many_of_its_mazes_may_be_known(finished):
    config = small(**{"model.init_from": str(finished / "model"), "eval.seed": 1, "eval.num_mazes": 64})
    [line] = provenance.notes(config)
    ours, theirs = (set_up(small(**{"eval.seed": seed})).task.held_out.state.walls for seed in (1, 0))
    known = {np.asarray(walls).tobytes() for walls in theirs}
    concerned = sum(np.asarray(walls).tobytes() not in known for walls in ours)
    assert 0 < concerned < 64 and f"{concerned} of the 64 mazes" in line
    # A run or a checkpoint of it tells the same.
    assert provenance.notes(small(**{"checkpoint.init_from": str(finished), "eval.seed": 1, "eval.num_mazes": 64})) == [
        line.replace(str(finished / "model"), str(finished))
    ]
    assert provenance.notes(small(**{"checkpoint.init_from": str(finished)})) == []


def test_a_smaller_table_of_the_same_seed_and_another_size_are_safe(finished):
    start = {"model.init_from": str(finished / "model")}
    assert provenance.notes(small(**start, **{"maze.num_held_out": 32})) == []
    assert provenance.notes(small(**start, **{"maze.size": 9, "maze.answer_length": 40, "eval.seed": 5})) == []


@pytest.mark.parametrize("text", ['{"tables": [{"size": 7}]}', "no json"])
def test_a_folder_without_the_record_is_said(finished, tmp_path, text):
    (tmp_path / provenance.FILE).write_text(text)
    [line] = provenance.notes(small(**{"model.init_from": str(tmp_path)}))
    assert "does not say which mazes it was not trained on" in line
    assert provenance.after(small(**{"model.init_from": str(tmp_path)})) is None


def a_later_step(folder):
    """One value of one tensor differs, as after further training; size and header are the same."""
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


def test_counts_of_another_model_are_refused_by_the_files_name(finished, tmp_path):
    """The same path and flags, other weights: no table of the model that was there before."""
    shutil.copytree(finished / "model", tmp_path / "model")
    before = evaluated(tmp_path / "model", tmp_path / "counts", "--samples=4")
    assert evaluated(tmp_path / "model", tmp_path / "counts", "--samples=4") == before
    a_later_step(tmp_path / "model")
    with pytest.raises(ValueError, match=r"model\.init_from/model\.safetensors: got another one .*or another --out"):
        evaluated(tmp_path / "model", tmp_path / "counts", "--samples=4")
    evaluated(tmp_path / "model", tmp_path / "others", "--samples=4")


@pytest.mark.parametrize("flag", ["--temperature=0.5", "--reward=exact", "--held_out_seed=1", "--length=24"])
def test_settings_of_the_judge_and_the_mazes_are_in_the_key(finished, tmp_path, flag):
    evaluated(finished / "model", tmp_path, "--samples=4")
    with pytest.raises(ValueError, match=f"{flag.partition('=')[0]}: got .* was begun, or another --out"):
        evaluated(finished / "model", tmp_path, "--samples=4", flag)


def test_counts_older_than_digests_go_on_and_are_known_from_then_on(finished, tmp_path):
    evaluated(finished / "model", tmp_path, "--samples=4")
    file = tmp_path / counts.FILE
    header, *rounds = file.read_text().splitlines()
    older = {key: value for key, value in json.loads(header).items() if key not in ("inputs", "compute_dtype")}
    file.write_text("\n".join([json.dumps(older), *rounds]) + "\n")
    evaluated(finished / "model", tmp_path, "--samples=8")
    assert json.loads(file.read_text().splitlines()[0]) == json.loads(header)


def test_a_folder_that_cannot_be_made_is_one_line(finished):
    out = "/proc/x"
    with pytest.raises(ValueError, match=f"--out: got '{out}', allowed: a folder that can be written"):
        evaluated(finished / "model", out, "--samples=4")


@pytest.mark.parametrize("text", ["no json\n", "[1, 2]\n", '{"size": 7}\n7\n'])
def test_a_file_that_holds_no_counts_is_one_line(finished, tmp_path, text):
    (tmp_path / counts.FILE).write_text(text)
    with pytest.raises(ValueError, match=r"--out: got .*evaluation\.jsonl is one of evaluations"):
        evaluated(finished / "model", tmp_path, "--samples=4")
