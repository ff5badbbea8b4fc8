"""completions.jsonl of a run: the same prompts at every step, newly solved and worst ones, the evaluation's answers."""

import json

import numpy as np
import pytest

from experiments.lm import blocks
from experiments.lm.__main__ import check, run
from experiments.lm.completions import ADDED, Completions
from experiments.lm.tasks.table import set_up
from experiments.results import completions
from maxrl_jax import advantages
from maxrl_jax.lm import evaluation
from maxrl_jax.lm.schedule import Schedule
from maxrl_jax.tasks.maze import tokens
from tests.experiments.lm.small import lines, mathematics, small

CHOSEN = {"log.completions_prompts": 2, "log.completions_answers": 3, "log.completions_every": 1}


def test_a_run_on_mazes_writes_tokens(tmp_path):
    config = small(**CHOSEN, **{"sft.steps": 0, "eval.num_mazes": 7})
    check(config)
    run(config, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / completions.FILE).read_text().splitlines()]
    assert [row["step"] for row in rows] == [0] * 6 + [1] * 2 + [2] * 6  # evaluations add four
    assert [row["prompt"] for row in rows[6:8]] == [row["prompt"] for row in rows[:2]]
    held_out = set_up(config).held_out
    assert rows[0]["prompt"] == tokens.decode(held_out.tokens[0])
    assert rows[0]["gold"] == tokens.arrows(held_out.state.solution[0])
    solved = [line["eval/solved"] for line in lines(tmp_path, "eval/")]
    for row in rows:
        assert len(row["answers"]) == len(row["rewards"]) == 3
        assert [row["rewards"][i] == 1 for i in range(3)] == [reason == "solved" for reason in row["reasons"]]
        expected = np.asarray(advantages.get("maxrl")(np.array(row["rewards"])))
        np.testing.assert_allclose(row["advantages"], expected, rtol=1e-6)
    # The answers are the first of the evaluation's.
    assert all(sum(row["rewards"]) <= count for row, count in zip(rows[:2], solved[0], strict=False))
    assert [completion.step for completion in completions.read(tmp_path)] == [row["step"] for row in rows]


def test_an_evaluation_that_is_killed_goes_on_within_itself(tmp_path, monkeypatch):
    """Killed after two of the last evaluation's four blocks: a step and two blocks later all is as without the kill."""
    config = small(**CHOSEN, **{"sft.steps": 0, "eval.num_mazes": 7, "eval.decode_rows": 8})
    run(config, tmp_path / "whole")
    monkeypatch.setattr(blocks, "SECONDS", 0.0)
    drawn, draw = [], evaluation.Sampler._drawn

    def counted(sampler, params, key, first):
        if len(drawn) == limit:
            raise KeyboardInterrupt
        drawn.append(first)
        return draw(sampler, params, key, first)

    monkeypatch.setattr(evaluation.Sampler, "_drawn", counted)
    limit = 4 + 1 + 2  # the first evaluation, completions between the two, half of the last evaluation
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "run")
    drawn.clear()
    run(config, tmp_path / "run")
    assert drawn == [4, 6]
    whole, resumed = (lines(tmp_path / name, "train/", "eval/", "final/") for name in ("whole", "run"))
    assert resumed == whole
    assert not (tmp_path / "run" / blocks.FOLDER).exists()
    assert completions.read(tmp_path / "run") == completions.read(tmp_path / "whole")


def test_an_evaluation_adds_what_is_newly_solved_and_what_is_worst(tmp_path):
    setup = set_up(small(**CHOSEN, **{"eval.num_mazes": 12}))
    chosen = Completions(None, setup, Schedule(((0, advantages.get("maxrl")),)))._chosen
    solved = np.array([0, 0, 5, 0, 9, 0, 1, 0, 3, 4, 2, 8])
    assert chosen(solved).tolist() == [0, 1, 3, 5, 7, 6]  # nothing came before: the worst
    solved[[5, 7, 0]] = 6
    assert chosen(solved).tolist() == [0, 1, 5, 7, 3, 6]
    solved[3] = 1
    assert chosen(solved).tolist() == [0, 1, 3, 6, 10, 8]
    assert len(chosen(solved)) == 2 + 2 * ADDED


def test_texts_are_the_models_own_and_an_estimator_may_need_more(tmp_path):
    config = mathematics(tmp_path, **CHOSEN, **{"rl.steps": 0, "rl.advantage.name": "differential_smoothing"})
    check(config)
    run(config, tmp_path / "run")
    found = completions.read(tmp_path / "run")
    assert sorted((row.step, row.gold) for row in found) == [(0, gold) for gold in "ijkl"]
    assert "Say i." in found[0].prompt and found[0].prompt.endswith("assistant\n")
    answers = [answer for row in found for answer in row.answers]
    assert {answer.advantage for answer in answers} == {None}
    assert all(answer.reason in ("right", "wrong") and 1 <= answer.length <= 6 for answer in answers)


@pytest.mark.parametrize("key", ["every", "prompts", "answers"])
def test_wrong_settings_are_named(key):
    with pytest.raises(ValueError, match=f"log.completions_{key}"):
        check(small(**{f"log.completions_{key}": -1}))
