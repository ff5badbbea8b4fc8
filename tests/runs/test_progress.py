import io

import pytest

from maxrl_jax.runs.folder import progress
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
    assert lines[0].startswith("maze train 1/4  loss 1  reward_mean 0.25  ")
    assert lines[4] == "[a line]"


def test_plain_lines_keep_their_distance_and_end_with_the_last(capsys):
    go(Progress("maze", 100.0))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["maze train 4/4", "[a line]"]


def test_a_bar_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    go(Progress("maze", 0.0))
    text = terminal.getvalue()
    assert "maze train" in text
    assert "4/4" in text
    assert "loss 0.25  reward_mean 0.25" in text
    assert "[a line]" in text


@pytest.mark.parametrize("terminal", [True, False])
def test_the_other_processes_are_quiet(monkeypatch, terminal):
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(progress.sys, "stderr", stream)
    go(Progress("maze", 0.0, quiet=True))
    assert stream.getvalue() == ""
