import re

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import common
from maxrl_jax import advantages
from maxrl_jax.runs.config import checks, estimator, fields
from maxrl_jax.runs.config.errors import ConfigError
from maxrl_jax.runs.config.load import load
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


def test_load_leaves_nothing_behind():
    load(TINY, {"rl.steps": 12})
    assert load(TINY).rl.steps == 30


def test_command_line_forms():
    spec, overrides, others = split_arguments(
        ["--config", "f.py:v", "--config.a.b", "3", "-config.c=4", "--noconfig.d", "--workdir=x", "--jobs", "2"]
    )
    assert spec == "f.py:v"
    assert overrides == ["--config.a.b=3", "--config.c=4", "--noconfig.d"]
    assert others == ["--workdir=x", "--jobs", "2"]
    config = override(load(TINY), ["--config.deterministic"])
    assert config.deterministic is True


def test_flatten_and_to_dict_read_back_from_a_file():
    config = load(TINY, {"rl.advantage.k": ((0, 4), (10, 2))})
    plain = fields.to_dict(config)
    assert plain["rl"]["advantage"]["k"] == [[0, 4], [10, 2]]
    assert fields.flatten(plain)["rl.advantage.k"] == [[0, 4], [10, 2]]


def test_every_error_is_one_line_with_key_got_and_allowed():
    error = ConfigError("rl.steps", "a\nb" * 200, "at\nleast 1")
    assert str(error).count("\n") == 0
    assert str(error).startswith("rl.steps: got 'a\\nb")
    assert str(error).endswith("..., allowed: at least 1")
    assert len(str(error)) < 260
    assert isinstance(error, ValueError)


CONFIG_FOR_CHECKS = ConfigDict(
    {"a": {"n": 4, "x": 0.5, "name": "mean", "flag": True, "t": (1, 2), "f": (0.5, 1), "e": (), "nan": float("nan")}}
)


@pytest.mark.parametrize(
    "good",
    [
        lambda c: checks.positive_int(c, "a.n") == 4,
        lambda c: checks.integer(c, "a.n", 4, 4) == 4,
        lambda c: checks.non_negative_int(c, "a.n") == 4,
        lambda c: checks.in_range(c, "a.x", 0, 0.5) == 0.5,
        lambda c: checks.in_range(c, "a.n", 0) == 4,
        lambda c: checks.positive(c, "a.x") == 0.5,
        lambda c: checks.one_of(c, "a.name", {"mean", "sum"}) == "mean",
        lambda c: checks.divides(c, "a.n", 12) == 4,
        lambda c: checks.multiple_of(c, "a.n", 2) == 4,
        lambda c: checks.tuple_of(c, "a.t", int, low=1) == (1, 2),
        lambda c: checks.tuple_of(c, "a.f", float) == (0.5, 1),
        lambda c: checks.tuple_of(c, "a.e", int, min_length=0) == (),
    ],
)
def test_right_values_pass_and_are_returned(good):
    assert good(CONFIG_FOR_CHECKS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda c: checks.positive_int(c, "a.x"), "a.x: got 0.5, allowed: an integer of at least 1"),
        (lambda c: checks.positive_int(c, "a.flag"), "a.flag: got True, allowed: an integer of at least 1"),
        (lambda c: checks.integer(c, "a.n", 5), "a.n: got 4, allowed: an integer of at least 5"),
        (lambda c: checks.integer(c, "a.n", 0, 3), "a.n: got 4, allowed: an integer from 0 to 3"),
        (lambda c: checks.integer(c, "a.n", high=3), "a.n: got 4, allowed: an integer of at most 3"),
        (lambda c: checks.in_range(c, "a.x", 0.6), "a.x: got 0.5, allowed: a number in [0.6, inf)"),
        (
            lambda c: checks.in_range(c, "a.x", 0, 0.5, high_open=True),
            "a.x: got 0.5, allowed: a number in [0, 0.5)",
        ),
        (
            lambda c: checks.in_range(c, "a.x", 0.5, 1, low_open=True),
            "a.x: got 0.5, allowed: a number in (0.5, 1]",
        ),
        (lambda c: checks.in_range(c, "a.nan"), "a.nan: got nan, allowed: a number in (-inf, inf)"),
        (lambda c: checks.in_range(c, "a.flag"), "a.flag: got True, allowed: a number in (-inf, inf)"),
        (
            lambda c: checks.one_of(c, "a.name", {"means", "sum"}),
            "a.name: got 'mean', allowed: one of means, sum; did you mean means?",
        ),
        (lambda c: checks.one_of(c, "a.flag", (0, 1)), "a.flag: got True, allowed: one of 0, 1"),
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
        (lambda c: checks.tuple_of(c, "a.n", int), "a.n: got 4, allowed: a tuple of at least 1 int values"),
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
        ({"name": ""}, "name", "the name of an estimator"),
        ({"name": "maxpo"}, "k", "a value: maxpo has no default"),
        ({"name": "maxpo", "k": 8}, "k", "k <= N - 1"),
        ({"name": "maxpo", "k": 0}, "k", "1 <= k"),
        ({"name": "maxpo", "k": 2.5}, "k", "whole number"),
        ({"name": "maxpo", "k": ((0, 2), (5, 8))}, "k", "k <= N - 1"),
        ({"name": "maxpo", "k": ((1, 2), (5, 3))}, "k", "phases"),
        ({"name": "maxpo", "k": ((0, 2), (0, 3))}, "k", "phases"),
        ({"name": "maxpo", "k": ((0, 2, 3),)}, "k", "phases"),
        ({"name": "maxpo", "k": ((0.0, 2),)}, "k", "phases"),
        ({"name": "maxrl", "k": 4}, "k", "None, as maxrl takes no hyper-parameter"),
        ({"name": "maxrl_order", "order": 8}, "order", "order <= N - 1"),
        ({"name": "grpo", "eps": -1.0}, "eps", ">= 0"),
        ({"name": "pkpo", "k": 4, "baseline": "lo"}, "baseline", "one of none, loo"),
        ({"name": "partitioned", "k": 3, "kind": "naive"}, "k", "divisors of N"),
        ({"name": "rloo", "num_rollouts": 1}, "name", "N >= 2"),
        ({"name": "self_masked"}, "name", "needs no greedy_rewards"),
        ({"name": "maxrl", "reward_kind": "real"}, "name", "maxrl_order"),
        ({"name": "tests.runs.own_estimator:absent"}, "name", "cannot load"),
        ({"name": "tests.runs.own_estimator:not_callable"}, "name", "not callable"),
        ({"name": "no.such.module:f"}, "name", "cannot load"),
        ({"name": "tests.runs.own_estimator:scaled", "k": 3}, "k", "unexpected keyword"),
    ],
)
def test_impossible_estimators_name_the_field(fields, key, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        chosen(**fields)
    assert error.value.key == f"rl.advantage.{key}"
    assert "\n" not in str(error.value)
