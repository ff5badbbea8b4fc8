"""Every wrong setting gets one clear line and exit status 2, before anything is compiled."""

import importlib
import logging
import os
import re
import sys

import jax
import pytest

from maxrl_jax.errors import ConfigError
from maxrl_jax.runs import launch
from maxrl_jax.runs.config.load import load
from maxrl_jax.runs.folder.stopping import Failed, NotFinite
from maxrl_jax.runs.loop.phase import Every
from tests.runs import small, toy
from tests.runs.runs import CONFIG, ROOT, deterministic

TINY = f"--config={ROOT / CONFIG}:tiny"

WRONG = [  # arguments, the key that is named, a part of what is said
    ([], "--config", "nothing"),
    (["--config=absent.py"], "--config", "the path of a config file"),
    ([f"--config={ROOT / 'tests/runs/toy_confg.py'}"], "--config", "did you mean .*toy_config.py"),
    ([f"--config={ROOT / CONFIG}:tiney"], "--config", "unknown variant 'tiney', allowed: tiny, two_phases"),
    ([f"--config={ROOT / 'configs/common.py'}"], "--config", "defines get_config"),
    ([TINY], "--workdir", "nothing"),
    ([TINY, "--workdir=$NO_SUCH_VARIABLE/x"], "--workdir", "variables are set"),
    ([TINY, f"--workdir={__file__}"], "--workdir", "a folder, not a file"),
    ([TINY, "more"], "command line", "flags only"),
    ([TINY, "--wrkdir=W"], "--wrkdir", "did you mean --workdir"),
    ([TINY, "--config.rl"], "--config.rl", "nothing"),
    ([TINY, "--config.rl.stps=3"], "rl.stps", "did you mean rl.steps"),
    ([TINY, "--config.rl=3"], "rl", "one of its fields: advantage, learning_rate, num_rollouts, steps"),
    ([TINY, "--config.rl.steps=1e3"], "rl.steps", "got '1e3', allowed: an integer"),
    ([TINY, "--config.rl.learning_rate=fast"], "rl.learning_rate", "a number"),
    ([TINY, "--config.deterministic=perhaps"], "deterministic", "True or False"),
    ([TINY, "--config.seed=4294967296"], "seed", "from 0 to 4294967295"),
    ([TINY, "--config.mesh.fsdp=0"], "mesh.fsdp", "at least 1"),
    ([TINY, "--config.batch=0"], "batch", "an integer of at least 1"),
    ([TINY, "--config.checkpoint.max_to_keep=0"], "checkpoint.max_to_keep", "at least 1"),
    ([TINY, "--config.checkpoint.init_from=/no/such/run"], "checkpoint.init_from", "a run folder"),
    ([TINY, "--config.log.console_seconds=-1"], "log.console_seconds", "a number in [0, inf)"),
    ([TINY, "--config.wandb.mode=onlin"], "wandb.mode", "did you mean online"),
    ([TINY, "--config.wandb.tags=(1, 2)"], "wandb.tags", "a tuple of strings"),
    ([TINY, "--config.rl.advantage.name=maxlr"], "rl.advantage.name", "did you mean maxrl"),
    ([TINY, "--distributed=maybe"], "--distributed", "auto, on or off"),
    ([TINY, "--coordinator=here"], "--coordinator", "HOST:PORT"),
    ([TINY, "--coordinator=here:1"], "--num_processes", "at least 1"),
    (
        [TINY, "--coordinator=here:1", "--num_processes=2", "--process_id=2"],
        "--process_id",
        "from 0 to 1",
    ),
    ([TINY, "--num_processes=2"], "--coordinator", "with --num_processes"),
    ([TINY, "--workdir=runs/[a]"], "--workdir", "a path without *, ? and ["),
    ([TINY, "--workdir=~no_such_user/x"], "--workdir", "a user there is"),
    ([TINY, "--workdir=W", "--num_processes"], "command line", "expected one argument"),
    ([TINY, f"--workdir={__file__}/run"], "--workdir", "a folder that can be written (Not a directory)"),
]


@pytest.mark.parametrize(("arguments", "key", "message"), WRONG, ids=lambda x: str(x)[-50:])
def test_wrong_settings_are_one_line_and_status_2(arguments, key, message, capsys, monkeypatch):
    if arguments and key != "--workdir":
        arguments = [*arguments, "--workdir=W"]
    monkeypatch.setattr(jax, "jit", lambda *a, **k: pytest.fail("compiled before the settings were checked"))
    with pytest.raises(SystemExit) as exit:
        launch.main(lambda config, workdir: pytest.fail("the run began"), toy.check, arguments)
    assert exit.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"error: {key}: got "), said
    pattern = message if ".*" in message else re.escape(message)
    assert re.search(pattern, said), said


def test_online_without_a_key_is_refused(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr("maxrl_jax.runs.folder.wandb_writer._has_key", lambda: False)
    with pytest.raises(SystemExit) as exit:
        launch.main(toy.run, toy.check, [TINY, f"--workdir={tmp_path}", "--config.wandb.mode=online"])
    assert exit.value.code == 2
    assert "wandb.mode: got 'online', allowed: offline or disabled, as no API key" in capsys.readouterr().err


def test_the_right_ones_reach_run(tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setenv("PLACE", str(tmp_path))
    with pytest.raises(SystemExit) as exit:
        launch.main(
            lambda config, workdir: seen.update(config=config, workdir=workdir),
            toy.check,
            [TINY, "--workdir", "$PLACE/run", "--config.rl.steps", "5", "--config.seed=3"],
        )
    assert exit.value.code == 0
    assert seen["workdir"] == f"{tmp_path}/run"
    assert (seen["config"].rl.steps, seen["config"].seed) == (5, 3)


def test_a_warning_of_orbax_reaches_the_user_as_one_line_said_once(tmp_path, capsys):
    absl = logging.getLogger("absl")
    kept = absl.handlers, absl.propagate

    def run(config, workdir):
        for _ in range(2):
            try:
                raise ValueError("inner")
            except ValueError:
                absl.warning("Skipping merge: no files in %s\n  Traceback", "x", exc_info=True)
        absl.info("much ado")

    try:
        with pytest.raises(SystemExit):
            launch.main(run, toy.check, [TINY, f"--workdir={tmp_path}"])
    finally:
        absl.handlers, absl.propagate = kept
    assert capsys.readouterr().err == "warning: Skipping merge: no files in x\n"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ConfigError("--workdir", "x", "y"), 2, "error: --workdir: got 'x', allowed: y\n"),
        (OSError(28, "No space left on device", "f"), 1, "error: cannot write to f: No space left on device\n"),
        (NotFinite("not finite at train step 3"), 1, "error: not finite at train step 3\n"),
        (Failed("the judge is broken"), 1, "error: the judge is broken\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_what_ends_a_run_early_is_one_line(error, status, said, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "_exit", sys.exit)  # after a KeyboardInterrupt

    def run(config, workdir):
        raise error

    with pytest.raises(SystemExit) as exit:
        launch.main(run, toy.check, [TINY, f"--workdir={tmp_path}"])
    assert exit.value.code == status
    assert capsys.readouterr().err == said


OWN = {
    "import": ("own_code:f", "raise OSError('no licence')", "cannot load the advantage estimator .*: no licence"),
    "call": ("own_code:f", "def f(rewards):\n    return rewards.maen()", "it raises AttributeError"),
    "name": ("own_code:g", "def f(rewards):\n    return rewards", "cannot load .* has no attribute 'g'"),
    "typo": ("own_cod:f", "", "cannot load the advantage estimator 'own_cod:f': No module named 'own_cod'"),
}


@pytest.mark.parametrize("case", OWN)
def test_a_users_exception_shows_its_traceback_below_the_line(case, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_code", raising=False)
    name, text, said = OWN[case]
    (tmp_path / "own_code.py").write_text(text)
    with pytest.raises(SystemExit) as exit:
        launch.main(toy.run, toy.check, [TINY, f"--workdir={tmp_path}/run", f"--config.rl.advantage.name={name}"])
    assert exit.value.code == 2
    first, _, below = capsys.readouterr().err.partition("\n")
    assert re.match(f"error: rl.advantage.name: got .*, allowed: .*{said}", first), first
    if case in ("import", "call"):
        assert below.startswith("Traceback") and f'"{tmp_path}/own_code.py"' in below
    else:
        assert below == ""


def test_a_users_function_that_raises_in_a_run_is_one_line_above_its_traceback(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_hook.py").write_text("def f(state, step):\n    return [][step]")

    def run(config, workdir):
        small.run(workdir, config, every=[Every(1, importlib.import_module("own_hook").f)])

    with pytest.raises(SystemExit) as exit:
        launch.main(run, toy.check, [TINY, f"--workdir={tmp_path}/run"])
    assert exit.value.code == 1
    said = capsys.readouterr().err.partition("error: ")[2]
    first = (
        rf"f of {tmp_path}/own_hook\.py, called from \S+/steps\.py:\d+, raised IndexError: list index out of range\n"
    )
    assert re.match(first + "Traceback", said) and f'"{tmp_path}/own_hook.py", line 2' in said


def test_a_bug_keeps_its_traceback(tmp_path):
    def run(config, workdir):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        launch.main(run, toy.check, [TINY, f"--workdir={tmp_path}"])


@pytest.mark.parametrize(("arguments", "file"), [([TINY, "--help"], ""), (["--help"], str(ROOT / CONFIG))])
def test_help_lists_flags_and_fields(arguments, file, capsys):
    with pytest.raises(SystemExit) as exit:
        launch.main(toy.run, toy.check, arguments, config_file=file)
    assert exit.value.code == 0
    said = capsys.readouterr().out
    assert "--workdir=DIR" in said
    assert "--config.rl.steps=30" in said
    assert re.search(r"--config\.seed=0 +every random stream derives from it", said)


def test_as_a_process(toy, tmp_path):
    process = toy.start(tmp_path / "a", "batch=12", devices=8)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, ""), err
    assert re.fullmatch(r"error: batch: got 12, allowed: a multiple of 8 \(the number of devices\)\n", err), err
    assert not os.path.exists(tmp_path / "a")


def test_the_plain_function_needs_no_flags(tmp_path):
    config = load(f"{ROOT / CONFIG}:tiny", {"rl.steps": 3, "chunk_steps": 3})
    toy.check(config)
    record = toy.run(config, tmp_path / "run")
    assert deterministic(tmp_path / "run")[-1]["final/params_sha256"] == record["final/params_sha256"]
