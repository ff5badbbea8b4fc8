"""The study of regimes: its steps by hand, and rates chosen on a seed that is not reported."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.bandit import get_config
from experiments.bandit import regimes
from experiments.bandit.__main__ import run
from experiments.bandit.prompts import problem
from maxrl_jax import advantages, objectives


@pytest.fixture
def config():
    return get_config("regimes_quick")


def forms(names, n):
    return jnp.asarray([np.stack(objectives.binary_form(advantages.get(name), n)) for name in names])


def test_one_exact_step_by_hand_with_and_without_the_filter(config):
    problems = regimes.make_problems(config)
    keys = jax.vmap(jax.random.key)(jnp.arange(3))
    found = regimes.race(
        problems, keys, forms(("maxrl", "maxrl"), 4), jnp.asarray([False, True]), jnp.asarray([0.7]),
        name="sgd", steps=(1,), k=16, sampled=False,
    )  # fmt: skip
    own = jax.tree.map(lambda leaf: leaf[0, 1], problems)
    p = problem.pass_rates(own.base_logits, own.correct)
    up = objectives.effective_weight(advantages.get("maxrl"), p, 4)[:, None] * problem.pass_rate_gradient(
        own.base_logits, own.correct
    )
    for i, scale in enumerate((1.0, 1 / jnp.mean(1 - p**4 - (1 - p) ** 4))):
        after = problem.pass_rates(own.logits(0.7 * scale * own.params_gradient(up)), own.correct)
        wanted = jnp.mean(after), jnp.mean(objectives.pass_at_k(after, 16))
        np.testing.assert_allclose(found[0, i, 0, 1, 0], jnp.stack(wanted), rtol=1e-4)


def test_rates_are_chosen_on_the_first_seed_and_reported_on_the_others(config, monkeypatch):
    config.regimes.update({"optimizers": ("sgd",), "steps": (5,), "methods": ("rloo", "maxrl")})
    values = np.zeros((1, 2, 9, 3, 1, 2))
    values[:, 0, 3, 0] = 0.9  # rloo: the fourth rate is best on the first seed ...
    values[:, 0, 5, 1:] = 0.8  # ... and another on the others
    values[:, 0, 3, 1:] = np.array([0.2, 0.4])[:, None, None]
    values[:, 1, 8] = 0.7  # maxrl: the largest rate tried
    monkeypatch.setattr(regimes, "race", lambda *args, **keywords: values)
    table = regimes.train(config)["best"]
    rloo, maxrl = (table[table.method == name].iloc[0] for name in ("rloo", "maxrl"))
    assert (rloo.rate, rloo["mean"], rloo.standard_error, rloo.at_end) == (1.0, 0.3, 0.1, False)
    assert (maxrl.rate, maxrl["mean"], maxrl.at_end) == (300.0, 0.7, True)
    ahead = regimes.ahead(table).iloc[0]
    assert (ahead.ahead, round(ahead.lead, 3), ahead.tie) == ("maxrl", 0.4, False)


def test_a_run_ends_in_tables_and_a_figure(config, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(regimes, "race", lambda *args, **keywords: rng.uniform(size=(1, 4, 9, 3, 2, 2)))
    run(config, str(tmp_path))
    assert (tmp_path / "figures" / "regimes_linear.png").stat().st_size > 10_000
    assert {path.name for path in tmp_path.glob("*.csv")} == {"best.csv", "ahead.csv"}
