"""The check of the READMEs' numbers: it recomputes them from the committed runs, and it fails."""

import pytest

from experiments.results import check

TEXT = """The lead is <!--= paired("maze_9/runs", "maxrl", "grpo") -->0.185, 0.254 and 0.062<!--/-->, after 2,000 steps.

<!--= [passes("maze_9/runs", m, 1, 128) for m in ("blind", "maxrl")] -->
| 3 seeds | pass@1 | pass@128 | published pass@1 |
|---|---|---|---|
| blind guess, k = 1 | 0.047 | 0.940 | |
| MaxRL | 0.720 ± 0.026 | 0.927 ± 0.008 | 0.844 |

Rollouts: <!--= 1024 -->1,024<!--/-->.
"""


def test_numbers_that_hold_pass():
    assert check.check(TEXT) == (TEXT, [], 10)


@pytest.mark.parametrize(
    ("right", "wrong", "line"),
    [("0.254", "0.253", 1), ("0.026", "0.027", 7), ("0.940", "0.941", 6), ("1,024", "1,025", 9)],
)
def test_a_number_off_by_its_last_digit_is_named_and_can_be_written(right, wrong, line):
    new, [(where, said)], _ = check.check(TEXT.replace(right, wrong))
    assert new == TEXT and where == line and said.startswith(f"{wrong} is {right} (")


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        (" ± 0.008", "", "6 values, 5 numbers"),
        ('"blind"', '"none"', "KeyError"),
        ("1024 -->", "log('x') -->", "No such"),
    ],
)
def test_what_cannot_be_compared_is_an_error(right, wrong, said):
    _, [(_, message)], _ = check.check(TEXT.replace(right, wrong))
    assert said in message


def test_the_command_fails_on_a_wrong_text(tmp_path, capsys):
    file = tmp_path / "README.md"
    file.write_text(TEXT.replace("0.720", "0.721"))
    assert check.main([str(file)]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"{file}:7: 0.721 is 0.720") and "10 numbers recomputed, 1 differ" in said.out
    assert check.main([str(file), "--write"]) == 0 and file.read_text() == TEXT
    assert check.main([str(tmp_path / "absent.md")]) == 2
