import io
import re

import pytest

from maxrl_jax.runs.folder import headline, progress
from maxrl_jax.runs.folder.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def go(shown, seconds=0.0, quiet=False):
    shown.begin("train", 0, 4)
    for step in (1, 2, 3, 4):
        shown.update(step, 4, {"loss": 1.0 / step, "reward_mean": 0.25})
    shown.say("[a line]")
    shown.end()


def test_plain_lines_elsewhere(capsys):
    go(Progress("maze", 0.0))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert lines[0] == "maze train 1/4  loss 1  reward_mean 0.25"  # no speed yet: the first call compiles
    assert re.fullmatch(r"maze train 2/4  loss 0.5  reward_mean 0.25  [\d.e+]+ steps/s  0:00:\d\d left", lines[1])
    assert re.fullmatch(r"maze train 4/4  loss 0.25  reward_mean 0.25  [\d.e+]+ steps/s", lines[3])
    assert lines[4] == "[a line]"


def test_the_time_left_is_by_the_speed_since_the_first_call(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    shown = Progress("maze", 0.0)
    shown.begin("train", 100, 400)
    for seconds, step in ((1000.0, 110), (1020.0, 120), (1100.0, 160)):  # 1,000 seconds of compiling
        now[0] = seconds
        shown.update(step, 400, {})
    assert capsys.readouterr().err.splitlines() == [
        "maze train 110/400",
        "maze train 120/400  0.5 steps/s  0:09:20 left",
        "maze train 160/400  0.5 steps/s  0:08:00 left",
    ]


def test_plain_lines_keep_their_distance_and_end_with_the_last(capsys):
    go(Progress("maze", 100.0))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["maze train 4/4", "[a line]"]


@pytest.mark.parametrize("terminal", [True, False])
def test_the_other_processes_are_quiet(monkeypatch, terminal):
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(progress.sys, "stderr", stream)
    go(Progress("maze", 0.0, quiet=True))
    assert stream.getvalue() == ""


LONG_TITLE = "maze: " + "a/folder/" * 12


def test_what_it_is_busy_with_and_what_it_found(monkeypatch, capsys):
    def tell(shown):
        shown.begin("train", 0, 4)
        shown.working("compiling the step")
        shown.evaluated(0, 4, {"pass@1": 0.25, "pass@64": 1.0})
        shown.evaluated(0, 4, {})
        shown.end()
        shown.table(LONG_TITLE, ["", "step 0"], [["pass@1", "0.25"]])

    tell(Progress("maze", 0.0))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["maze train: compiling the step ...", "maze train 0/4 evaluated: pass@1 0.25  pass@64 1"]
    assert lines[2] == LONG_TITLE
    assert any("pass@1" in line and "0.25" in line for line in lines[4:])
    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    tell(Progress("maze", 0.0))
    go(Progress("maze", 0.0))
    parts = ("compiling the step ...", "pass@1 0.25  pass@64 1", "4/4", "loss 0.25  reward_mean 0.25", "[a line]")
    assert all(text in terminal.getvalue() for text in ("maze train", *parts))


@pytest.mark.parametrize(
    ("values", "names", "expected"),
    [
        (
            {"eval/pass@4": 0.4, "eval/pass@16": 0.6, "eval/pass@1": 0.2, "eval/shortest": 1.0, "eval/more": 9.0},
            headline.DEFAULT,
            {"pass@1": 0.2, "pass@16": 0.6, "shortest": 1.0},
        ),
        ({"eval/pass@2": 0.5}, headline.DEFAULT, {"pass@2": 0.5}),
        ({"eval/pass@1": float("nan"), "eval/pass@2": 0.5, "eval/top1": [0.0, 1.0]}, headline.DEFAULT,
         {"pass@2": 0.5, "top1": 0.5}),
        ({"eval/a": 1, "eval/b": "text", "eval/c": [1.0, 3.0], "eval/d": None}, headline.DEFAULT, {"a": 1.0, "c": 2.0}),
        ({"eval/b": 2.0, "eval/a": 1.0}, ("a",), {"a": 1.0}),
        ({"sft/pass@1": 0.1}, ("pass@",), {"pass@1": 0.1}),
    ],
)  # fmt: skip
def test_the_headline_of_an_evaluation(values, names, expected):
    assert headline.of(values, names) == expected
