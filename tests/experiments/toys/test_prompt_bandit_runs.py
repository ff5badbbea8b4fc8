"""The prompt bandit's studies and whole runs: what they show, their files, their errors."""

import contextlib
import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from experiments.bandit import compare, compare_draw, demo, pkpo, two_rewards
from experiments.bandit.__main__ import check
from experiments.bandit.__main__ import run as run_driver
from experiments.bandit.prompts import gradients, measures
from experiments.bandit.prompts.draws import draw_actions
from maxrl_jax import objectives
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config.load import load


def lines_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def config_of(variant="tiny", **overrides):
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return load(f"configs/bandit.py:{variant}", {"wandb.mode": "disabled", **dotted})


# ------------------------------------------------------------------ studies


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory):
    """The demo at a small size: (its folder, its summary, what it printed)."""
    config = config_of("demo_quick", compare__num_rollouts=(4, 64), problem__pass_rate_range=(1e-3, 0.8))
    check(config)
    folder, printed = tmp_path_factory.mktemp("demo"), io.StringIO()
    with contextlib.redirect_stdout(printed):
        summary = demo.run(config, str(folder))
    return folder, summary.set_index(["label", "gradients"]), printed.getvalue()


def test_demo_ends_in_a_table_and_a_figure(demonstration):
    folder, summary, printed = demonstration
    assert "nats from exact ML" in printed and "comparison.png" in printed
    assert (folder / "figures" / "comparison.png").stat().st_size > 10_000
    assert {"pass@1", "pass@32", "distance_to_ml error"} <= set(summary.columns) and (summary.seeds == 2).all()
    lines = lines_of(folder)
    assert "final/params_sha256" in lines[-1]
    assert lines[0]["eval/maxrl_N=64/expected/pass@1"] == pytest.approx(lines[0]["eval/exact_rl/expected/pass@1"])


def test_maxrl_comes_closer_to_exact_ml_as_n_grows_and_rloo_does_not(demonstration):
    final = pd.read_csv(demonstration[0] / "final.csv").groupby(["label", "gradients"]).mean(numeric_only=True)
    for kind in ("expected", "sampled"):
        far = final.xs(kind, level="gradients").distance_to_ml
        assert far["maxrl N=64"] < 0.4 * far["maxrl N=4"]
        assert far["rloo N=64"] == pytest.approx(far["rloo N=4"], rel=0.01)
    assert final.loc[("exact ml", "expected"), "distance_to_ml"] == 0
    # rloo is exact RL, and pass@k grows with k.
    assert final.loc[("rloo N=4", "expected"), "pass@1"] == pytest.approx(final.loc[("exact rl", "expected"), "pass@1"])
    assert np.all(np.diff(final[[f"pass@{k}" for k in compare.KS]], axis=-1) >= 0)


def test_hard_prompts_stall_under_rl_alone(demonstration):
    strata = pd.read_csv(demonstration[0] / "strata.csv")
    hard = strata[(strata.stratum == "0.001-0.01")].groupby(["label", "gradients"]).mean(numeric_only=True)
    assert hard.loc[("exact ml", "expected"), "final pass@1"] > 0.5
    assert hard.loc[("exact rl", "expected"), "final pass@1"] < 2 * hard.loc[("exact rl", "expected"), "initial pass@1"]
    assert np.isnan(hard.loc[("exact rl", "expected"), "steps to 0.25"])
    levels = hard.loc[("exact ml", "expected"), [f"steps to {level:g}" for level in compare_draw.LEVELS]]
    assert levels.dropna().is_monotonic_increasing and levels.notna().sum() >= 2


def test_steps_to_a_level():
    curves = np.array([[0.1, 0.3, 0.2, 0.6], [0.0, 0.1, 0.1, 0.1]])
    np.testing.assert_array_equal(measures.steps_to(curves, 0.25), [1, np.nan])
    np.testing.assert_array_equal(measures.steps_to(curves, 0.1), [0, 1])


@pytest.mark.slow
def test_choosing_k_chooses_where_pass_at_k_is_best():
    config = load("configs/bandit.py:pkpo_quick", {"pkpo.learning_rate": 0.2, "pkpo.num_groups": 6})
    runs = pkpo.train(config)
    table = pkpo.table(config, runs)
    end = table[table.step == config.pkpo.steps].groupby(["task_set", "method"]).mean(numeric_only=True)
    shared = end.loc["ambiguous"]
    assert shared["pass@1"].idxmax() in ("k = 1", "k = 8, then 1")
    assert shared.loc["k = 1", "pass@16"] < shared.loc["k = 4", "pass@16"] < shared.loc["k = 16", "pass@16"]
    assert shared.loc["k = 1", "entropy"] < shared.loc["k = 4", "entropy"] < shared.loc["k = 16", "entropy"]
    # The annealed run is the k = 8 run until it switches; then pass@1 rises above it.
    switch, names = config.pkpo.anneal_step, np.array([identity["method"] for identity in runs.identities])
    eight, annealed = (runs.log_rates[names == name, :, : switch + 1] for name in ("k = 8", "k = 8, then 1"))
    np.testing.assert_array_equal(eight, annealed)
    apart = end.loc["separable"]
    assert apart.loc["k = 8, then 1", "pass@1"] > max(apart.loc["k = 8", "pass@1"], apart.loc["k = 1", "pass@1"])
    assert end.loc["hard"].loc["k = 8", "pass@1"] > end.loc["hard"].loc["k = 1", "pass@1"]
    assert [ax.get_title()[:3] for ax in pkpo.draw_pkpo(table, 16, switch).fig.axes] == [
        f"({letter})" for letter in "abcdef"
    ]


def make_tasks(**changes):
    settings = {"num_prompts": 4, "answers_each": 2, "first_range": (0.05, 0.3), "second_rate": 0.7}
    return two_rewards.make_tasks(jax.random.key(0), **{**settings, **changes})


def test_two_rewards_start_where_they_are_told_to():
    made = make_tasks()
    chances = two_rewards._chances(made.base_logits, made.rewards)
    first = np.array([0.05, 0.05, 0.3, 0.3])
    np.testing.assert_allclose(chances[:, 0], first, rtol=1e-5)
    np.testing.assert_allclose(chances[::2, 1:], np.stack([np.full(2, 0.7), 0.7 * first[::2]], -1), rtol=1e-5)
    # In conflict prompts the mass of "both" has only reward 1.
    np.testing.assert_allclose(chances[1::2, 1:], np.stack([0.7 * (1 - first[1::2]), np.zeros(2)], -1), rtol=1e-5)


def test_decoupled_maxrl_ascends_the_sum_of_two_truncated_log_likelihoods():
    n, c, draws = 8, 0.5, 20_000
    made = make_tasks()
    combine = two_rewards.ways(n, c)["maxrl decoupled"]

    def estimate(key):
        answers = draw_actions(key, made.base_logits, n)
        rewards = jnp.take_along_axis(made.rewards, answers[..., None], axis=1)
        return gradients.rollout_gradient(made.base_logits, answers, combine(rewards))

    def objective(logits):
        p = two_rewards._chances(logits, made.rewards)
        return jnp.sum(objectives.maxrl(p[:, 0], n - 1) + c * objectives.maxrl(p[:, 1], n - 1))

    found = jax.jit(jax.vmap(estimate))(jax.random.split(jax.random.key(1), draws))
    expected = jax.jit(jax.grad(lambda x: objective(x)))(made.base_logits)
    error = np.std(found, axis=0) / np.sqrt(draws)
    assert np.all(np.abs(np.mean(found, axis=0) - expected) < 5 * error)
    assert np.abs(expected).max() > 20 * error.max()


def test_only_decoupled_maxrl_keeps_both_rewards_where_they_conflict():
    overrides = {"two_rewards.learning_rate": 0.5, "two_rewards.first_range": (0.05, 0.3)}
    table = two_rewards.table(two_rewards.train(load("configs/bandit.py:two_rewards_quick", overrides)))
    end = table[(table.step == table.step.max()) & (table.kind == "conflict")].groupby("way").mean(numeric_only=True)
    kept = end["reward 1"] > 0.35
    assert set(kept[kept].index) == {"maxrl decoupled", "maxrl standard"}
    assert end.loc["maxrl decoupled", "reward 2"] > 0.35
    drawn = two_rewards.draw_two_rewards(table).fig
    assert [len(ax.lines) for ax in drawn.axes] == [2 * table.way.nunique() + 1] * 2


# ------------------------------------------------------------------ whole runs


def test_tiny_run_logs_every_step_and_seeds_differ(tmp_path):
    finals = {}
    for seed in (0, 1):
        config = config_of(rl__steps=12, eval__every_steps=6, seed=seed)
        check(config)
        finals[seed] = run_driver(config, str(tmp_path / str(seed)))["final/params_sha256"]
    assert finals[0] != finals[1]
    lines = lines_of(tmp_path / "0")
    train = [line for line in lines if "train/loss" in line]
    assert [line["step"] for line in train] == list(range(12))
    assert {"train/reward_mean", "train/gradient_norm", "train/entropy", "train/all_fail"} <= train[0].keys()
    evaluated = [line for line in lines if "eval/pass@32" in line]
    assert [line["step"] for line in evaluated] == [0, 6, 12]
    assert evaluated[-1]["eval/pass@1"] > evaluated[0]["eval/pass@1"]
    assert lines[-1]["final/params_sha256"] == finals[0]


@pytest.mark.parametrize("sampling", ["counts", "expected"])
def test_other_samplings_and_a_schedule_of_k_run(tmp_path, sampling):
    config = config_of(
        rl__steps=6,
        rl__sampling=sampling,
        rl__advantage__name="maxpo",
        rl__advantage__k=((0, 8), (3, 1)),
        eval__every_steps=0,
    )
    check(config)
    run_driver(config, str(tmp_path / "run"))
    assert len([line for line in lines_of(tmp_path / "run") if "train/loss" in line]) == 6


SMALL = {
    "graded": {"graded.num_rollouts": (4,), "graded.num_prompts": 2},
    "verifier": {"verifier.num_rollouts": (4,), "verifier.weight_batches": 50, "problem.num_prompts": 2},
    "split": {"split.num_rollouts": (4,), "split.rollouts_a_step": (8,), "problem.num_prompts": 4},
}
WRITES = {"graded": "graded_answers", "verifier": "verifier_errors", "split": "rollouts_split"}


@pytest.mark.parametrize("variant", SMALL)
def test_runs_end_in_tables_and_a_figure(tmp_path, variant):
    config = config_of(f"{variant}_quick", **{f"{variant}.steps": 2, f"{variant}.num_seeds": 2}, **SMALL[variant])
    check(config)
    run_driver(config, str(tmp_path / "run"))
    assert (tmp_path / "run" / "figures" / f"{WRITES[variant]}.png").stat().st_size > 10_000
    assert list((tmp_path / "run").glob("*.csv"))


WRONG = {
    "tiny": [
        {"rl.advantage.k": 16, "rl.advantage.name": "maxpo"},
        {"rl.advantage.name": "rloo", "rl.num_rollouts": 1},
        {"rl.advantage.name": "maxlr"},
        {"rl.sampling": "counts", "rl.advantage.name": "self_masked"},
        {"rl.sampling": "marginal"},
        {"rl.learning_rate": 0.0},
        {"problem.pass_rate_range": (0.9, 0.1)},
        {"problem.num_correct": 16},
        {"problem.group_size": 5, "problem.features": "groups"},
        {"study": "maze"},
    ],
    "prompts": [{"compare.estimators": ("maxrl", "partitioned")}, {"compare.objectives": ("rl",)}],
    "pkpo": [{"pkpo.k_opt": (1, 17)}, {"pkpo.anneal_step": 5000}],
    "two_rewards": [{"two_rewards.num_prompts": 7}],
    "graded": [
        {"graded.levels": (0.0, 1.0, 0.5)},
        {"graded.middle_rate": 0.95},
        {"graded.estimators": ("maxrl",)},
    ],
    "verifier": [{"verifier.errors": ((0.6, 0.5),)}, {"verifier.estimators": ("maxrl", "nosuch")}],
    "split": [{"split.num_rollouts": (3,)}, {"split.estimators": ("maxpo",)}],
    "maxpo_quick": [
        {"arms.error_k": 16},
        {"arms.num_rollouts": (4, 16)},
        {"arms.num_rollouts": (8, 32)},
        {"arms.ks": (9,)},
        {"arms.error_batches_per_chunk": 7},
        {"arms.actions": (1, 10)},
    ],
    "regimes_quick": [
        {"regimes.methods": ("self_masked",)},
        {"regimes.optimizers": ("adamax",)},
        {"regimes.rates.sgd": (0.1, 0.2, 0.3)},
        {"regimes.features": ("groups",)},
        {"regimes.base_rates": (0.0, 0.5)},
        {"regimes.steps": (20, 5)},
    ],
}


@pytest.mark.parametrize(("variant", "overrides"), [(v, each) for v, wrong in WRONG.items() for each in wrong], ids=str)
def test_wrong_settings_name_their_key(variant, overrides):
    """The first of the overrides is the one at fault."""
    config = load(f"configs/bandit.py:{variant}", overrides)
    with pytest.raises(ConfigError) as error:
        check(config)
    assert error.value.key == next(iter(overrides))


def test_every_variant_loads_and_is_sound():
    from configs.bandit import STUDIES, get_config

    for name in STUDIES:
        for suffix in ("", "_quick"):
            check(get_config(name + suffix))
    with pytest.raises(ValueError, match="two_rewards"):
        get_config("nosuch")


FIELDS = {
    "tiny": "compare.num_seeds",
    "prompts": "rl.num_rollouts",
    "pkpo": "problem.num_prompts",
    "two_rewards": "arms.ks",
    "maxpo": "rl.steps",
}


@pytest.mark.parametrize(("variant", "field"), FIELDS.items())
def test_a_field_of_another_study_is_refused_in_one_line(variant, field):
    with pytest.raises(ConfigError, match="an unknown field") as error:
        load(f"configs/bandit.py:{variant}", {field: 1})
    assert error.value.key == field and "\n" not in str(error.value)


def test_a_study_is_its_variants():
    with pytest.raises(ConfigError, match=r"^study: got 'pkpo', allowed: train"):
        check(config_of("tiny", study="pkpo"))


@pytest.fixture(scope="module")
def drawn_of():
    """Curves, final and strata of a comparison of some estimators, two steps long."""

    def make(*estimators, num_rollouts=(1, 4), objectives=("ml", "rl")):
        config = config_of(
            "prompts_quick",
            compare__estimators=estimators,
            compare__num_rollouts=num_rollouts,
            compare__objectives=objectives,
            compare__num_seeds=1,
            problem__num_prompts=4,
            rl__steps=2,
        )
        check(config)
        return compare.tables(config, compare.train(config)).values()

    return make


@pytest.mark.parametrize("estimators", [("rloo", "grpo"), ("reinforce", "pkpo"), ("maxrl_unbiased", "chen")])
def test_whatever_was_compared_is_drawn(drawn_of, estimators):
    curves, final, strata = drawn_of(*estimators)
    left, centre, right = compare_draw.draw_comparison(curves, final).fig.axes
    # Both objectives, one estimator over N and, where it is another, GRPO; in every panel what is among the runs.
    assert len(centre.lines) >= 3
    labels = [text.get_text() for text in left.figure.legends[0].get_texts()]
    assert labels[:2] == ["exact ML", "exact RL"] and len(labels) >= 3
    assert len(right.lines) >= 1
    names = {label.split(" ")[0] for label, _, _ in compare_draw.bar_labels(strata)}
    assert names == {*estimators, "exact"}
    assert compare_draw.draw_strata(strata).fig.axes


def test_an_estimator_that_no_n_allows_is_refused_and_sizes_it_does_not_allow_are_left_out(drawn_of):
    with pytest.raises(ConfigError, match=r"^compare\.num_rollouts"):
        drawn_of("rloo", num_rollouts=(1,))
    _, final, _ = drawn_of("rloo", num_rollouts=(1, 2))
    assert set(final.num_rollouts.dropna()) == {2}
