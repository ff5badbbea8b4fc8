"""completions.jsonl: read back, printed, and on the report's page."""

import json

import pytest

from experiments.lm import show
from experiments.report import page
from experiments.results import completions, folders


def row(step, prompt, rewards, **fields):
    count = len(rewards)
    return {
        "step": step,
        "prompt": prompt,
        "gold": "8",
        "answers": [f"{prompt}: try {i} of step {step}" for i in range(count)],
        "rewards": rewards,
        "reasons": ["right" if reward == 1 else "wrong" for reward in rewards],
        "advantages": [0.5] * count,
        "lengths": [4] * count,
    } | fields


ROWS = [
    row(0, "2 * 4?", [0.0, 0.0]),
    row(0, "<b>?", [0.0, 1.0]),
    row(12, "2 * 4?", [0.0, 0.0]),
    row(12, "2 * 4?", [1.0, 0.0], advantages=[None, None]),  # the step again, after a kill
    row(12, "<b>?", [0.0, 1.0]),
]


@pytest.fixture
def folder(tmp_path):
    text = "".join(json.dumps(line) + "\n" for line in ROWS)
    (tmp_path / "completions.jsonl").write_text(text + '{"step": 13, "pro')
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "metrics.jsonl").write_text('{"step": 0, "train/reward_mean": 0.5}\n')
    return tmp_path


def test_a_step_written_again_counts_once_and_a_torn_line_not_at_all(folder):
    found = completions.read(folder)
    assert [(one.step, one.prompt, one.pass_rate) for one in found] == [
        (0, "2 * 4?", 0.0), (0, "<b>?", 0.5), (12, "2 * 4?", 0.5), (12, "<b>?", 0.5)
    ]  # fmt: skip
    pairs = completions.before_and_after(found)
    assert [(before.prompt, before.step, after.step) for before, after in pairs] == [("2 * 4?", 0, 12), ("<b>?", 0, 12)]
    assert pairs[0][1].right[0].text == "2 * 4?: try 0 of step 12"


def test_they_are_printed_by_prompt(folder, capsys):
    assert show.main([str(folder), "--prompts=1"]) == 0
    out = capsys.readouterr().out
    assert "--- step 0: 0 of 2 right" in out
    assert "+ 2 * 4?: try 0 of step 12  [reward 1, 4 tokens, right]" in out
    assert "- 2 * 4?: try 0 of step 0  [reward 0, advantage +0.50, 4 tokens, wrong]" in out
    assert "<b>" not in out
    assert show.main([str(folder), "--step=3"]) == 2
    assert capsys.readouterr().err == "error: --step: got 3, allowed: 0, 12\n"
    assert show.main([str(folder / "none")]) == 2
    assert "got no completions.jsonl" in capsys.readouterr().err


def test_the_page_shows_failed_and_right_side_by_side(folder):
    text = page.write([folders.read(folder)])
    assert "1 of 2 right at step 12" in " ".join(text.split())
    assert "&lt;b&gt;?: try 1 of step 12" in text
    assert "<b>?" not in text
