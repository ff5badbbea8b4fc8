"""Drawing that assumes nothing of its surroundings, and never ends a run."""

import matplotlib as mpl
import pandas as pd

from experiments.results import drawing, style
from experiments.results.drawing import Drawing

HOSTILE = {
    "text.usetex": True,  # and no LaTeX
    "font.family": ["no such font at all"],
    "savefig.format": "pdf",
    "svg.fonttype": "path",
    "axes.facecolor": "red",
    "figure.dpi": 3,
    "savefig.bbox": "tight",
}


def a_line():
    fig, ax = style.new_figure()
    ax.plot([0, 1], [0, 1])
    ax.set_title("$x^2$ and 100 %")
    return Drawing(fig, pd.DataFrame({"x": [0, 1]}))


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_users_matplotlibrc_changes_no_byte(tmp_path):
    for name in ("plain", "own"):
        (tmp_path / name).mkdir()
    drawing.save(a_line(), tmp_path / "plain", "line")
    with mpl.rc_context(HOSTILE):
        drawing.save(a_line(), tmp_path / "own", "line")
        assert mpl.rcParams["text.usetex"]  # and is there again afterwards
    assert files(tmp_path / "own") == files(tmp_path / "plain")
    assert set(files(tmp_path / "own")) == {"line.png", "line.svg", "line.csv"}


class FakeRun:
    def __init__(self, folder):
        self.path, self.figures, self.said = folder, folder / "figures", []
        self.figures.mkdir()

    def say(self, text):
        self.said.append(text)


def test_a_drawing_that_fails_is_one_line(tmp_path):
    def fails():
        raise IndexError("list index\nout of range")

    run = FakeRun(tmp_path)
    drawing.save_in_run(run, "curves", fails)
    drawing.save_in_run(run, "line", a_line)
    assert len(run.said) == 2 and "\n" not in "".join(run.said)
    assert run.said[0].startswith(f"{run.figures}/curves was not drawn (IndexError: list index out of range)")
    assert sorted(files(run.figures)) == ["line.csv", "line.png", "line.svg"]
