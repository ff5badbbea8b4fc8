import re

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import common
from maxrl_jax import advantages
from maxrl_jax.errors import ConfigError, InputError, as_config_error
from maxrl_jax.runs.config import checks, comments, estimator, fields, help
from maxrl_jax.runs.config.load import load, module_of
from maxrl_jax.runs.config.override import override, split_arguments
from tests.runs.runs import CONFIG, ROOT

TINY = f"{ROOT / CONFIG}:tiny"


def test_load_sets_fields_with_their_types():
    overrides = {
        "rl.steps": 12,
        "rl.learning_rate": 1,
        "deterministic": True,
        "wandb.tags": ("a", "b"),
        "wandb.group": "x=y, z",
        "rl.advantage.name": "maxpo",
        "rl.advantage.k": ((0, 4), (10, 2)),
        "rl.advantage.baseline": None,
    }
    config = load(TINY, overrides)
    assert {key: checks.field(config, key) for key in overrides} == overrides
    assert isinstance(config.rl.learning_rate, float)
    assert config.is_locked
    assert load(TINY, {"rl.steps": "12"}).rl.steps == 12


def test_a_hyper_parameter_that_a_config_sets_may_be_set_back_to_none(tmp_path):
    file = tmp_path / "pkpo.py"
    file.write_text(
        "from configs import common\n"
        "def get_config():\n"
        "    config = common.base()\n"
        "    config.advantage = common.advantage('pkpo', k=4, baseline='loo')\n"
        "    return config\n"
    )
    for value in (None, "None"):
        config = load(str(file), {"advantage.baseline": value, "advantage.k": value})
        assert (config.advantage.baseline, config.advantage.k) == (None, None)
    assert load(str(file), {"advantage.baseline": "none"}).advantage.baseline == "none"
    with pytest.raises(ConfigError, match=r"^wandb\.group: got None, allowed: a string"):
        load(str(file), {"wandb.group": None})


def test_command_line_forms():
    spec, overrides, others = split_arguments(
        ["--config", "f.py:v", "--config.a.b", "3", "-config.c=4", "--noconfig.d", "--workdir=x", "--jobs", "2"]
    )
    assert spec == "f.py:v"
    assert overrides == ["--config.a.b=3", "--config.c=4", "--noconfig.d"]
    assert others == ["--workdir=x", "--jobs", "2"]
    config = override(load(TINY), ["--config.deterministic"])
    assert config.deterministic is True


def test_every_error_is_one_line_with_key_got_and_allowed():
    error = ConfigError("rl.steps", "a\nb" * 200, "at\nleast 1")
    assert str(error).count("\n") == 0
    assert str(error).startswith("rl.steps: got 'a\\nb")
    assert str(error).endswith("..., allowed: at least 1")
    assert len(str(error)) < 260
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("raised", "line"),
    [
        ("answer length: got 0, allowed: at least 29", "maze.size: got 0, allowed: at least 29"),
        ("/m/config.json: got no vocab_size, allowed: 1", "maze.size: got /m/config.json: no vocab_size, allowed: 1"),
        (
            InputError("none.jsonl", "no such file", "a local file"),
            "maze.size: got none.jsonl: no such file, allowed: a local file",
        ),
        ("no room", "maze.size: got 7, allowed: no room"),
    ],
)
def test_a_function_that_names_its_own_argument_says_got_and_allowed_once(raised, line):
    def fail():
        raise raised if isinstance(raised, Exception) else ValueError(raised)

    with pytest.raises(ConfigError) as error:
        as_config_error("maze.size", 7, fail)
    assert str(error.value) == line


CONFIG_FOR_CHECKS = ConfigDict(
    {"a": {"n": 4, "x": 0.5, "name": "mean", "flag": True, "t": (1, 2), "f": (0.5, 1), "e": (), "nan": float("nan")}}
)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda c: checks.positive_int(c, "a.x"), "a.x: got 0.5, allowed: an integer of at least 1"),
        (lambda c: checks.positive_int(c, "a.flag"), "a.flag: got True, allowed: an integer of at least 1"),
        (lambda c: checks.integer(c, "a.n", 0, 3), "a.n: got 4, allowed: an integer from 0 to 3"),
        (lambda c: checks.in_range(c, "a.x", 0.6), "a.x: got 0.5, allowed: a number in [0.6, inf)"),
        (
            lambda c: checks.in_range(c, "a.x", 0, 0.5, high_open=True),
            "a.x: got 0.5, allowed: a number in [0, 0.5)",
        ),
        (lambda c: checks.in_range(c, "a.nan"), "a.nan: got nan, allowed: a number in (-inf, inf)"),
        (
            lambda c: checks.one_of(c, "a.name", {"means", "sum"}),
            "a.name: got 'mean', allowed: one of means, sum; did you mean means?",
        ),
        (lambda c: checks.divides(c, "a.n", 10, "N"), "a.n: got 4, allowed: a divisor of 10 (N)"),
        (lambda c: checks.multiple_of(c, "a.n", 8, "devices"), "a.n: got 4, allowed: a multiple of 8 (devices)"),
        (
            lambda c: checks.tuple_of(c, "a.f", int),
            "a.f: got (0.5, 1), allowed: a tuple of at least 1 int values",
        ),
        (
            lambda c: checks.tuple_of(c, "a.t", int, low=2),
            "a.t: got (1, 2), allowed: a tuple of at least 1 int values of at least 2",
        ),
        (lambda c: checks.tuple_of(c, "a.e", int), "a.e: got (), allowed: a tuple of at least 1 int values"),
        (
            lambda c: checks.field(c, "a.m"),
            "a.m: got no such field, allowed: a config file that defines this field",
        ),
    ],
)
def test_wrong_values_say_key_got_allowed(wrong, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        wrong(CONFIG_FOR_CHECKS)


def chosen(num_rollouts=8, provides=(), reward_kind="binary", **hyper):
    config = ConfigDict({"rl": {"advantage": common.advantage(**hyper)}})
    return estimator.phases(
        config, "rl.advantage", num_rollouts=num_rollouts, provides=provides, reward_kind=reward_kind
    )


def test_every_estimator_of_the_table_is_reachable_from_a_config():
    for name, entry in advantages.TABLE.items():
        for hyper in entry.settings(8):
            ((first, built),) = chosen(name=name, provides=entry.needs, **hyper)
            assert (first, built.name) == (0, name)
            assert hyper.items() <= dict(built.hyper).items()


def test_the_config_has_every_hyper_parameter_of_the_table():
    fields = set(common.advantage()) - {"name"}
    assert fields == {hyper for entry in advantages.TABLE.values() for hyper in entry.defaults}


def test_schedules_make_phases():
    assert [(s, str(a)) for s, a in chosen(name="maxpo", k=((0, 4), (10, 2)))] == [
        (0, "maxpo(k=4)"),
        (10, "maxpo(k=2)"),
    ]
    two = chosen(name="pkpo", k=((0, 4), (10, 2)), baseline=((0, "loo"), (5, "none")))
    hyper = [(first, dict(built.hyper)) for first, built in two]
    assert [(s, h["k"], h["baseline"]) for s, h in hyper] == [(0, 4, "loo"), (5, 4, "none"), (10, 2, "none")]
    # A tuple of numbers is a value, not a schedule.
    assert len(chosen(name="mixture", coefficients=(1.0, 0.5))) == 1


def test_a_users_own_estimator():
    ((_, built),) = chosen(name="tests.runs.own_estimator:scaled", scale=3.0)
    assert np.allclose(built(jnp.array([1.0, 0.0])), [1.5, -1.5])


@pytest.mark.parametrize(
    ("fields", "key", "message"),
    [
        ({"name": "maxlr"}, "name", "did you mean maxrl"),
        ({"name": "maxpo"}, "k", "a value: maxpo has no default"),
        ({"name": "maxpo", "k": 8}, "k", "k <= N - 1"),
        ({"name": "maxpo", "k": 2.5}, "k", "whole number"),
        ({"name": "maxpo", "k": ((0, 2), (5, 8))}, "k", "k <= N - 1"),
        ({"name": "maxpo", "k": ((0, 2), (0, 3))}, "k", "phases"),
        ({"name": "maxrl", "k": 4}, "k", "None, as maxrl takes no hyper-parameter"),
        ({"name": "pkpo", "k": 4, "baseline": "lo"}, "baseline", "one of none, loo"),
        ({"name": "partitioned", "k": 3, "kind": "naive"}, "k", "divisors of N"),
        ({"name": "self_masked"}, "name", "needs no greedy_rewards"),
        ({"name": "maxrl", "reward_kind": "real"}, "name", "maxrl_order"),
        ({"name": "tests.runs.own_estimator:absent"}, "name", "cannot load"),
        ({"name": "tests.runs.own_estimator:not_callable"}, "name", "not callable"),
        ({"name": "no.such.module:f"}, "name", "cannot load"),
        ({"name": "tests.runs.own_estimator:scaled", "k": 3}, "k", "unexpected keyword"),
        ({"name": "pkpo", "k": 0, "baseline": "loo"}, "k", "1 <= k"),
        ({"name": "grpo", "ddof": 1, "num_rollouts": 1}, "ddof", "N >= 2"),
    ],
)
def test_impossible_estimators_name_the_field(fields, key, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        chosen(**fields)
    assert error.value.key == f"rl.advantage.{key}"
    assert "\n" not in str(error.value)


OWN = "tests.runs.own_estimator:"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mean_of_each_group", "given [9, 8] it returns [9], not [9, 8]"),
        ("two_results", "it returns tuple, not one array"),
        ("with_numpy", "given [9, 8] it raises TracerArrayConversionError"),
        ("whole_numbers", "it returns int32, not floating point"),
    ],
)
def test_an_own_estimator_that_does_not_map_groups_to_groups_is_refused_when_configured(name, said):
    with pytest.raises(ConfigError, match=re.escape(said)) as error:
        chosen(name=OWN + name)
    assert error.value.key == "rl.advantage.name"
    assert "allowed: a function of rewards [*batch, N] to advantages [*batch, N]" in str(error.value)
    assert "\n" not in str(error.value)


LAST = [  # several arguments for one field, and what it holds then
    (["rl.advantage.k=(4,)", "rl.advantage.k=(16,)"], "rl.advantage.k", (16,)),
    (["wandb.tags=('a',)", "wandb.tags=('b',)", "wandb.tags=()"], "wandb.tags", ()),
    (["deterministic=True", "deterministic=False"], "deterministic", False),
]


@pytest.mark.parametrize(("arguments", "key", "value"), LAST, ids=str)
def test_of_several_arguments_for_a_field_the_last_one_wins(arguments, key, value):
    config = override(load(TINY), [f"--config.{argument}" for argument in arguments])
    assert checks.field(config, key) == value
    assert override(config, []).rl.steps == config.rl.steps


def test_home_and_variables_are_replaced_in_every_path_of_a_config(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/data")
    values = {
        "compilation_cache": ("~/cache", "/home/me/cache"),
        "checkpoint.init_from": ("$DATA/run", "/data/run"),
        "wandb.project": ("${DATA}", "/data"),
        "wandb.group": ("a~b $c", "a~b $c"),  # no path: it does not begin like one
    }
    config = load(TINY, {key: text for key, (text, _) in values.items()})
    assert {key: checks.field(config, key) for key in values} == {key: whole for key, (_, whole) in values.items()}
    for wrong in ("$NO_SUCH_VARIABLE/x", "~no_such_user/x"):
        with pytest.raises(ConfigError, match=r"^checkpoint\.init_from: got '"):
            load(TINY, {"checkpoint.init_from": wrong})


def test_a_config_file_itself_may_lie_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.py").write_text("from configs import common\nget_config = common.base\n")
    assert load("~/mine.py:tiny").wandb.mode == "disabled"
    assert load("~/mine.py:full").wandb.mode == "offline"


FILE_WITH_COMMENTS = '''
"""What it is.

    a command

Time: none.
"""
from configs import common

def get_config(variant="tiny"):
    config = common.base(variant)
    config.plain = 1  # a number
    config.none = 2
    config.group = _group()  # things
    config.group.later = 3  # set outside
    config.optimizer = common.optimizer("sgd")
    if variant == "big":
        config.plain = 10  # not the first comment
    return config

def _group():
    made = common.ConfigDict()
    made.inside = "a # b"  # text; with a sign
    made.deeper = common.ConfigDict()
    made.deeper.x = (  # of the first line
        1,
        2,
    )  # the last line's
    return made
'''


def test_help_takes_the_comments_of_the_config_file(tmp_path):
    (tmp_path / "c.py").write_text(FILE_WITH_COMMENTS)
    found = comments.of_module(module_of(f"{tmp_path}/c.py"))
    own = {key: text for key, text in found.items() if key.startswith(("plain", "none", "group"))}
    assert own == {
        "plain": "a number",
        "group": "things",
        "group.later": "set outside",
        "group.inside": "text; with a sign",
        "group.deeper.x": "the last line's",
    }
    assert found["seed"] == "every random stream derives from it"
    assert found["optimizer.name"] == "adamw, adam, sgd, muon"  # named as its function, too
    said = help.describe(f"{tmp_path}/c.py:big")
    assert said.startswith("What it is.\n\n    a command\n")
    assert re.search(r"^  --config\.plain=10 +a number$", said, re.M)
    assert re.search(r"^  --config\.none=2$", said, re.M)


@pytest.mark.parametrize("name", ["bandit", "corridor", "gaussian", "imagenet", "llm", "maze"])
def test_every_config_describes_itself(name):
    said = help.describe(f"{ROOT}/configs/{name}.py")
    assert ("words" if name == "llm" else "tiny") in said.split("fields of")[0]
    fields_said = re.findall(r"^  --config\.([\w.]+)=", said, re.M)
    assert fields_said == list(fields.flatten(load(f"{ROOT}/configs/{name}.py").to_dict()))
    assert "every random stream derives from it" in said
